# SPDX-License-Identifier: Apache-2.0
#
# The recipe on CPUs, with package set k2, from the root of the repository:
#   docker build --build-arg UID=$(id -u) -t omni_sparse .
#   docker run --rm omni_sparse ./run.sh --help
#   docker run --rm -v "$PWD/exp:/home/omni/omni_sparse/egs/librispeech/omni_sparse/exp" \
#     omni_sparse ./run.sh --quick
FROM python:3.10.16-slim-bookworm

# For kaldifeat and fast_rnnt, and for the kernels of the packed runtime.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make \
    && rm -rf /var/lib/apt/lists/*

# Of who runs it, so that what is written to mounted folders is theirs.
ARG UID=1000
RUN useradd --create-home --uid "$UID" omni
USER omni
RUN mkdir -p /home/omni/omni_sparse/egs/librispeech/omni_sparse
WORKDIR /home/omni/omni_sparse

# Only what the installation reads: a change of anything else does not repeat it.
COPY --chown=omni requirements requirements
COPY --chown=omni egs/librispeech/omni_sparse/install.sh egs/librispeech/omni_sparse/install.sh
COPY --chown=omni egs/librispeech/omni_sparse/emformer egs/librispeech/omni_sparse/emformer
COPY --chown=omni egs/librispeech/omni_sparse/local egs/librispeech/omni_sparse/local
RUN PIP_NO_CACHE_DIR=1 egs/librispeech/omni_sparse/install.sh --set k2 \
    && rm -rf /home/omni/.cache

COPY --chown=omni . .
WORKDIR /home/omni/omni_sparse/egs/librispeech/omni_sparse
# Folders that may be mounted over; made here so that a volume's owner is the user.
RUN mkdir -p data download exp
CMD ["./run.sh", "--help"]
