# SPDX-License-Identifier: Apache-2.0
#
# A small find_package(Torch). The one that comes with torch insists on a CUDA toolkit if torch was
# built for CUDA, even where only its CPU interface is used. Needs PYTHON_EXECUTABLE.
execute_process(
  COMMAND "${PYTHON_EXECUTABLE}" -c
          "import os, torch; print(os.path.dirname(torch.__file__), int(torch._C._GLIBCXX_USE_CXX11_ABI), sep=';')"
  OUTPUT_VARIABLE _torch
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE _torch_status)
if(NOT _torch_status EQUAL 0)
  message(FATAL_ERROR "${PYTHON_EXECUTABLE} cannot import torch")
endif()
list(GET _torch 0 TORCH_INSTALL_PREFIX)
list(GET _torch 1 _torch_abi)

set(TORCH_FOUND TRUE)
set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=${_torch_abi}")
set(TORCH_INCLUDE_DIRS
    "${TORCH_INSTALL_PREFIX}/include"
    "${TORCH_INSTALL_PREFIX}/include/torch/csrc/api/include")
set(TORCH_LIBRARIES torch)

if(NOT TARGET torch)
  add_library(torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(torch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${TORCH_INCLUDE_DIRS}"
    INTERFACE_LINK_LIBRARIES
      "${TORCH_INSTALL_PREFIX}/lib/libtorch.so;${TORCH_INSTALL_PREFIX}/lib/libtorch_cpu.so;${TORCH_INSTALL_PREFIX}/lib/libc10.so")
endif()
