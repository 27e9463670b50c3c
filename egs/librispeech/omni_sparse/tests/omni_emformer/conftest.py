# SPDX-License-Identifier: Apache-2.0
"""Sound to decode."""

from types import SimpleNamespace

import pytest

from tests.support.noise_corpus import write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> SimpleNamespace:
    """Two test splits of a few utterances; see :func:`write_corpus`."""
    seconds = {"test-a": [0.5, 1.1, 0.7], "test-b": [1.0, 0.4]}
    return write_corpus(tmp_path_factory.mktemp("corpus"), seconds)
