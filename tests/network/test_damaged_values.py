"""Damaged and hostile values in files: what is no parameter, and what takes memory."""

import copy
import gzip
import io
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from damaged_cases import FILES, X, saved, with_header

import theanets
from theanets import checkpoint
from theanets.errors import ConfigurationError, DataError, FileError

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
