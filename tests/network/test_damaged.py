"""Damaged and hostile files: an error of ours, in little memory and time."""

import copy
import io
import random

import numpy as np
import pytest
from damaged_cases import FILES, X, saved, with_header

import theanets
from theanets import checkpoint
from theanets.errors import FileError

Y = X[:, :2]
STRANGE = [
    *(None, True, False, -1, 0, 1, 2, 7, 2**31, 2**63, 10**30, -(10**30), 0.5, -1e300, 1e400),
    *(float("nan"), "", "x", "tanh", "in", "out:out", "é\ud800", [], [[]], {}, {"a": 1}, [None, 3]),
    *([1, "x"], {"callable": "f"}, {"callable": ["f"]}, {"array": ["a"], "dtype": "S2000000000"}),
    *({"array": ["a"], "dtype": "U500000000"}, {"array": [[1], [2, 3]], "dtype": "float64"}),
    *({"array": 1, "dtype": []}, {"array": ["x"], "dtype": "float32"}, {"form": "mse"}),
    {"array": [1], "dtype": "(100000000,)f8"},
]


def places(value, path=()):
    """Get the paths of all values in what JSON holds."""
    yield path
    if isinstance(value, dict):
        for key, one in value.items():
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        for i, one in enumerate(value):
            yield from places(one, (*path, i))


def mutate(value, dice):
    """Change a value at a random place of what JSON holds."""
    value = copy.deepcopy(value)
    path = dice.choice([path for path in places(value) if path])
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    key, what = path[-1], dice.randrange(6)
    if what == 0:
        del parent[key]
    elif what == 1 and isinstance(parent, dict):
        parent[str(key) + dice.choice(["", "x", "_w"])] = dice.choice(STRANGE)
    elif what == 2:
        other = dice.choice([path for path in places(value) if path])
        found = value
        for step in other:
            found = found[step]
        parent[key] = copy.deepcopy(found)
    elif what == 3 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[key] = dice.choice(STRANGE)
    return value


@pytest.mark.parametrize("kind", FILES)
def test_mutated_descriptions(kind):
    dice = random.Random(kind)
    arrays, header = checkpoint.read(io.BytesIO(saved(FILES[kind]())))
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(150):
        changed = header
        for _ in range(dice.choice([1, 1, 2, 4])):
            changed = mutate(changed, dice)
        content = io.BytesIO(with_header(arrays, {"kind": None, **changed}))
        try:
            net = theanets.Network.load(content, custom={"f": lambda x: x})
        except FileError as error:
            outcomes["refused"] += 1
            assert "file object" in str(error)
            assert not isinstance(error.__cause__, MemoryError)
        else:
            outcomes["loaded"] += 1
            assert all(np.isfinite(p.get_value()).all() for p in net.params)
    assert min(outcomes.values()) > 5


@pytest.mark.parametrize("kind", FILES)
def test_mutated_bytes(kind):
    dice = random.Random(kind)
    content = saved(FILES[kind]())
    length = 8 + int.from_bytes(content[:8], "little")
    outcomes = {"loaded": 0, "refused": 0}
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(dice.choice([1, 1, 3])):
            start = dice.randrange(0, dice.choice([8, length, len(content)]))
            what = dice.randrange(4)
            if what == 0:
                changed[start : start + dice.randrange(1, 9)] = b""
            elif what == 1:
                changed[start:start] = dice.randbytes(dice.randrange(1, 9))
            elif what == 2:
                # Digits stay digits: sizes and offsets of other values.
                changed[start : start + 1] = dice.choice(b"0123456789").to_bytes(1, "little")
            else:
                changed[start : start + 1] = dice.randbytes(1)
        try:
            theanets.Network.load(io.BytesIO(bytes(changed)))
        except FileError as error:
            outcomes["refused"] += 1
            assert not isinstance(error.__cause__, MemoryError)
        else:
            outcomes["loaded"] += 1
    assert all(outcomes.values()), outcomes


def test_mutated_checkpoints(tmp_path):
    dice = random.Random(0)
    path, net = tmp_path / "run", theanets.Regressor([4, 3, 2], rng=1)
    schedule = dict(form="plateau", patience=0, factor=0.5)
    kwargs = dict(
        algo="sgd",
        momentum=0.5,
        hidden_noise=0.1,
        batch_size=5,
        train_batches=2,
        learning_rate_schedule=schedule,
        checkpoint=path,
        callbacks=theanets.callbacks.EarlyStop("loss", patience=9),
    )
    net.train([X, Y], epochs=3, **kwargs)
    arrays, header = checkpoint.read(path)
    known = header.pop("identity")
    outcomes = {"continued": 0, "refused": 0}
    for _ in range(120):
        changed = mutate(header, dice)
        other = dict(arrays)
        if dice.random() < 0.3:
            name = dice.choice(list(other))
            mine = other[name]
            strange = [np.zeros(3, "f4"), mine.astype("f8"), mine[:-1], np.zeros((0,), "f4")]
            other[name] = dice.choice(strange)
        checkpoint.write(path, other, {**changed, "identity": known})
        try:
            net.train([X, Y], epochs=4, **kwargs)
        except FileError as error:
            outcomes["refused"] += 1
            assert str(path) in str(error)
        else:
            outcomes["continued"] += 1
    assert min(outcomes.values()) > 5


@pytest.mark.parametrize("identity", [None, [], "x", {}, {"values": 3}, {"seed": -1}])
def test_a_checkpoint_without_an_identity(tmp_path, identity):
    path, net = tmp_path / "run", theanets.Regressor([4, 2])
    net.train([X, Y], epochs=1, checkpoint=path, algo="sgd")
    arrays, header = checkpoint.read(path)
    checkpoint.write(path, arrays, {**header, "identity": identity})
    with pytest.raises(FileError, match="another run"):
        theanets.Regressor([4, 2]).train([X, Y], epochs=2, checkpoint=path, algo="sgd")
