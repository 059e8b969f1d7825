"""Damaged and hostile files: an error of ours, in little memory, or a network."""

import copy
import gzip
import io
import json
import random
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import theanets
from theanets import checkpoint
from theanets.errors import ConfigurationError, DataError, FileError

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X[:, :2]


def network():
    """Get a network of many kinds of layers and options."""
    layers = [
        dict(size=4, name="in"),
        dict(size=6, activation="prelu+maxout:2", std_w=0.1),
        "batch_norm",
        dict(size=2, name="out", inputs="hid1"),
    ]
    net = theanets.Regressor(layers, loss=dict(form="huber", delta=2.0), rng=3)
    net.add_loss("mse", weight=0.5, weighted=True)
    net.metadata = {"names": np.array(["a", "bc"]), "mean": np.arange(3.0), "note": ["x", None]}
    return net


def recurrent():
    layers = [
        3,
        dict(form="bidirectional", size=4, worker="gru"),
        dict(form="clockwork", size=4, periods=(1, 2)),
        dict(form="bcrnn", size=4, num_modules=2),
        dict(form="lstm", size=3, bptt_limit=5),
        2,
    ]
    return theanets.recurrent.Regressor(layers, rng=3)


def convolution():
    layers = [
        (8, 8, 1),
        dict(form="conv2", size=3, filter_size=(2, 2)),
        "pool2",
        "flat",
        (4, "glu"),
        3,
    ]
    return theanets.convolution.Classifier(layers, loss=dict(form="xe", class_weight=[1, 2, 3]))


def symbols():
    layers = [dict(form="symbols", classes=7, shape=(None,)), (3, "embedding"), (4, "crf")]
    return theanets.recurrent.Classifier(layers, loss="crf")


def saved(net):
    handle = io.BytesIO()
    net.save(handle)
    return handle.getvalue()


FILES = {make.__name__: make for make in (network, recurrent, convolution, symbols)}

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


def with_header(arrays, header):
    handle = io.BytesIO()
    checkpoint.write(handle, arrays, header)
    return handle.getvalue()


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


# ---- checkpoints -----------------------------------------------------------------------


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


# ---- values ----------------------------------------------------------------------------


def small(**kwargs):
    return theanets.Regressor([4, 2], rng=1, **kwargs)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((4, 2), 1e300), r"'out\.w' has the value 1e\+300, beyond those of float32"),
        (np.full((4, 2), -3.5e38), "beyond those of float32"),
        (np.ones((4, 2), "int64"), "has the type int64; expected are floating-point"),
        (np.ones((4, 2), bool), "has the type bool"),
    ],
)
def test_values_that_are_no_parameters(value, message):
    arrays, header = checkpoint.read(io.BytesIO(saved(small())))
    arrays["out.w"] = value
    content = with_header(arrays, header)
    net = small()
    before = net.find("out.w").get_value()
    for load in (theanets.Network.load, net.load):
        with pytest.raises(FileError, match=message):
            load(io.BytesIO(content))
    np.testing.assert_array_equal(net.find("out.w").get_value(), before)


def test_complex_parameters_are_refused():
    content = saved(small())
    head, rest = content[8:], content
    assert b'"dtype":"F32","shape":[4,2]' in head
    changed = rest.replace(b'"dtype":"F32","shape":[4,2]', b'"dtype":"C64","shape":[4,1]')
    with pytest.raises(FileError, match=r"entry of the array 'out\.w'.*C64"):
        theanets.Network.load(io.BytesIO(changed))


def test_values_that_are_kept():
    """Those of other precision, and of a network that diverged."""
    arrays, header = checkpoint.read(io.BytesIO(saved(small())))
    wide = {name: value.astype("float64") * 0.1 for name, value in arrays.items()}
    loaded = theanets.Network.load(io.BytesIO(with_header(wide, header)))
    for param in loaded.params:
        assert param.dtype == "float32"
        np.testing.assert_array_equal(param.get_value(), wide[param.name].astype("float32"))
    arrays["out.b"] = np.array([np.inf, np.nan])
    loaded = theanets.Network.load(io.BytesIO(with_header(arrays, header)))
    np.testing.assert_array_equal(loaded.find("out.b").get_value(), [np.inf, np.nan])


def test_arrays_of_metadata():
    net = small()
    net.metadata = {
        "text": np.array(["a", "bcd"]),
        "objects": np.array(["a", 3], dtype=object),
        "half": np.arange(3, dtype="float16"),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3), "int8"),
    }
    loaded = theanets.Network.load(io.BytesIO(saved(net))).metadata
    for key, value in net.metadata.items():
        assert loaded[key].dtype == value.dtype
        assert loaded[key].tolist() == value.tolist()
    for value in (np.array([1j]), np.complex64(1j), np.datetime64("2020-01-01"), np.array([b"x"])):
        net.metadata = {"value": value}
        with pytest.raises(ConfigurationError, match="cannot be written"):
            net.save(io.BytesIO())


def test_the_cause_is_kept():
    arrays, header = checkpoint.read(io.BytesIO(saved(small())))
    header["spec"]["layers"][1]["shape"] = [-3]
    with pytest.raises(FileError, match=r"cannot be made: .*-3 is not positive") as caught:
        theanets.Network.load(io.BytesIO(with_header(arrays, header)))
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert not isinstance(caught.value, (ConfigurationError, DataError))


# ---- nothing is drawn ------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_nothing_is_drawn_where_values_are_at_hand(kind, monkeypatch):
    net = FILES[kind]()
    for param in [*net.params, *net.state]:
        param.set_value(param.get_value() + 1)
    content = saved(net)

    def drawn(*args, **kwargs):
        raise AssertionError("a value was drawn")

    monkeypatch.setattr("theanets.init._generator", drawn)
    monkeypatch.setattr("theanets.init.random_orthogonal", drawn)
    for made in (theanets.Network.load(io.BytesIO(content)), copy.deepcopy(net)):
        for mine, other in zip([*net.params, *net.state], [*made.params, *made.state], strict=True):
            assert mine.name == other.name
            assert other.get_value(borrow=True).flags.writeable
            np.testing.assert_array_equal(mine.get_value(), other.get_value())
    monkeypatch.undo()
    assert made.to_spec() == net.to_spec()
    assert theanets.layers.held.current() is None


class Inner(theanets.Layer):
    def setup(self):
        self.net = theanets.Regressor([4, 3, 2], rng=5)
        self.add_weights("w")

    def transform(self, inputs):
        return self.net.graph.outputs(given={"in": inputs.only}, needed=["out"])["out:out"]


def test_a_network_within_a_layer():
    net = theanets.Regressor([4, dict(form="inner", size=2, name="out")], rng=1)
    loaded = theanets.Network.load(io.BytesIO(saved(net)))
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))


# ---- memory ----------------------------------------------------------------------------

LOADING = """
    import resource, sys
    import theanets
    theanets.Network.load(sys.argv[1])  # what is imported and made at first
    with open("/proc/self/statm") as handle:
        size = int(handle.read().split()[0]) * resource.getpagesize()
    most = size + 300 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for path in sys.argv[1:]:
        try:
            theanets.Network.load(path)
        except theanets.errors.FileError as error:
            print("refused", str(error)[:300].replace("\\n", " "))
        except BaseException as error:
            print("failed", repr(error))
        else:
            print("loaded")
"""


def announcing(shape, spec):
    """Get the head of a file whose parameter has a shape, by both its entries and the network's."""
    _, header = checkpoint.read(io.BytesIO(saved(small())))
    header["spec"]["layers"][0]["shape"] = [spec[0]]
    header["spec"]["layers"][1]["shape"] = [spec[1]]
    sizes = {"out.w": (shape, 4 * int(np.prod(shape))), "out.b": ((shape[1],), 4 * shape[1])}
    entries, first = {"__metadata__": {"theanets": json.dumps({"version": 1, **header})}}, 0
    for name, (one, size) in sizes.items():
        entries[name] = {"dtype": "F32", "shape": one, "data_offsets": [first, first + size]}
        first += size
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head


def bombs():
    large = (30_000, 30_000)
    yield "zeros.gz", gzip.compress(bytes(2**20)) * 2000, "not a file of theanets"
    yield "spec", announcing((4, 2), (20_000, 20_000)) + bytes(40), r"has shape \(4, 2\)"
    yield "entries", announcing(large, (4, 2)), r"has shape \(30000, 30000\)"
    body = gzip.compress(announcing((4, 2), (4, 2)) + bytes(40))
    yield "after.gz", body + gzip.compress(bytes(2**20)) * 2000, "loaded"
    yield "short", announcing(large, large), "truncated"
    arrays, header = checkpoint.read(io.BytesIO(saved(small())))
    header["spec"]["layers"][0]["ndim"] = 2**31
    yield "axes", with_header(arrays, header), "ndim=2147483648"
    _, header = checkpoint.read(io.BytesIO(saved(small())))
    for dtype in ("S2000000000", "U500000000", "(500000000,)f8", "V2000000000"):
        header["metadata"] = {"x": {"array": ["a"], "dtype": dtype}}
        loaded = "loaded" if dtype[0] == "U" else "array of type|arrays of type"
        yield f"array{dtype}", with_header(arrays, header), loaded
    for form in ("batch_norm", "clockwork", "bcrnn", "embedding", "crf", "prelu", "maxout:3"):
        _, header = checkpoint.read(io.BytesIO(saved(small())))
        first, last = header["spec"]["layers"]
        first["shape"] = [2_000_000_000]
        if ":" in form or form == "prelu":
            last.update(shape=[2_000_000_000], activation=form)
        else:
            last.update(form=form, shape=[2_000_000_000])
        if form == "clockwork":
            first["shape"], last["periods"] = [None, 3], [1, 2]
        if form == "bcrnn":
            first["shape"], last["num_modules"] = [None, 3], 2_000_000_000
        last.pop("activation") if form in ("batch_norm", "embedding") else None
        yield form.replace(":", ""), with_header(arrays, header), "refused"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_small_files_take_little_memory(tmp_path):
    (tmp_path / "fine").write_bytes(saved(small()))
    paths, expected = [tmp_path / "fine"], ["loaded"]
    for i, (name, content, outcome) in enumerate(bombs()):
        assert len(content) < 2**22
        paths.append(tmp_path / f"{i}.{name}")
        paths[-1].write_bytes(content)
        expected.append(outcome)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOADING), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = done.stdout.splitlines()
    assert len(outcomes) == len(expected)
    for path, outcome, wanted in zip(paths, outcomes, expected, strict=True):
        assert re.search(wanted, outcome), (path.name, outcome)
