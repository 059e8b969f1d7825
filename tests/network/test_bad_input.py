"""What a user may do wrong: one clear error for each, and no crash."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from bad_input_cases import (
    CONSTRUCTION,
    DATA,
    LOSSES,
    X,
    Y,
    reg,
)
from bad_use_cases import REGULARIZERS, TRAINING, USE

import theanets
from theanets import ConfigurationError, DataError, FileError

CASES = [*CONSTRUCTION, *LOSSES, *DATA, *TRAINING, *REGULARIZERS, *USE]


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_clear_errors(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.__cause__ is None or isinstance(caught.value, (DataError, OSError))


def test_unknown_names_are_key_errors_and_value_errors():
    """A program written for either keeps working."""
    for kind in (KeyError, ValueError, theanets.Error):
        with pytest.raises(kind):
            reg().find("nope", "w")
    with pytest.raises(ValueError, match="1 array"):
        reg().evaluate([X])


def test_wrong_files(tmp_path):
    reg().save(tmp_path / "net")
    with pytest.raises(FileError, match="holds a Regressor, not a Classifier"):
        theanets.Classifier.load(tmp_path / "net")
    with pytest.raises(
        FileError, match=r"'hid1\.w' has shape \(4, 5\), the network's has \(4, 6\)"
    ):
        theanets.Regressor([4, 6, 3]).load(tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    for length in (0, 7, 8, 100, len(whole) - 1):
        (tmp_path / "net").write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"net: "):
            theanets.Regressor.load(tmp_path / "net")


def test_a_call_that_fails_leaves_the_network_as_it_was():
    net = reg()
    before = [p.get_value() for p in net.params]
    clean = net.evaluate([X, Y])
    for wrong in ({"hiden_noise": 1}, {"dropout": {"nope": 0.5}}, {"weight_l2": {"nope": 1}}):
        with pytest.raises(ConfigurationError):
            net.train([X, Y], epochs=1, **wrong)
    with pytest.raises(DataError):
        net.train([X, Y[:, :2]], epochs=1)
    assert net.evaluate([X, Y]) == clean
    for param, value in zip(net.params, before, strict=True):
        np.testing.assert_array_equal(param.get_value(), value)
    net.train([X, Y], epochs=1)


# On the linker that users have, where an index out of range would end the process.
CRASHES = """
    import numpy as np
    import theanets
    from theanets import DataError

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    net = theanets.Classifier([4, 5, 3], weighted=True, mode="NUMBA")
    w = np.ones(40)
    net.train([x, y, w], epochs=1)

    def batch():
        return [x, np.where(y == 2, 10**6, y), w]

    late = y.copy()
    wrong = {
        "large": lambda: net.train([x, y + 10**6, w], epochs=1),
        "negative": lambda: net.train([x, y - 10**6, w], epochs=1),
        "masked": lambda: net.train([x, np.where(y == 1, 99, y), y != 1], epochs=1),
        "huge": lambda: net.train([x, y + 2**40, w], epochs=1),
        "float": lambda: net.train([x, y + 0.5, w], epochs=1),
        "evaluate": lambda: net.evaluate([x, y - 5, w]),
        "valid": lambda: net.train([x, y, w], [x, y + 1, w], epochs=1),
        "batch": lambda: net.train(batch, epochs=1, train_batches=2),
        "score": lambda: net.score(x, y + 7),
        "short": lambda: net.train([x, y[:5], w], epochs=1),
        "width": lambda: net.predict(x[:, :2]),
        "rank": lambda: net.predict(x[0]),
        "empty": lambda: net.train([x[:0], y[:0], w[:0]], epochs=1),
    }
    for name, call in wrong.items():
        try:
            call()
        except DataError:
            print(name)
    assert net.predict(x[:0]).shape == (0,)
    print("alive", np.isfinite(net.evaluate([x, y, w])["loss"]))
"""


@pytest.mark.linker
def test_nothing_ends_the_process():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASHES)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = "large negative masked huge float evaluate valid batch score short width rank empty"
    assert done.stdout.split() == [*names.split(), "alive", "True"]
