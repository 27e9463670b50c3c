# SPDX-License-Identifier: Apache-2.0
"""The transcriber: which model, what is printed, and the command line."""
