"""What the tests of files that several write share: names of temporary files, short runs."""

import signal

import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
DATA = [X, X[:, :2]]
KWARGS = dict(algo="sgd", epochs=2)
needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
TOKENS = ["123", "0123456789abcdef"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())
