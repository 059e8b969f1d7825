"""Files that are not ours, or not whole."""

import contextlib
import gzip
import io
import json
import pickle
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from saving_cases import data, regressor

import theanets
from theanets import checkpoint
from theanets.errors import FileError


@pytest.fixture(scope="module")
def trained():
    net = regressor()
    net.train(data(), algo="sgd", learning_rate=0.1, epochs=2)
    return net


@pytest.fixture(scope="module")
def saved(trained):
    handle = io.BytesIO()
    trained.save(handle)
    return handle.getvalue()


def refused(content, tmp_path, match=None):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileError, match=match) as caught:
        theanets.Network.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(FileError, match=match):
        theanets.Network.load(io.BytesIO(content))
    with open(path, "rb") as handle, pytest.raises(FileError, match=match):
        theanets.Network.load(handle)


def test_truncated_files(tmp_path, saved):
    (length,) = struct.unpack("<Q", saved[:8])
    for size in (0, 1, 7, 8, 9, 8 + length // 2, 8 + length, 9 + length, len(saved) - 1):
        refused(saved[:size], tmp_path)


def test_truncated_and_damaged_compressed_files(tmp_path, saved):
    path = tmp_path / "net.gz"
    packed = gzip.compress(saved)
    damaged = [packed[:size] for size in (2, 10, 50, len(packed) - 9, len(packed) - 1)]
    damaged.append(packed[:60] + bytes([packed[60] ^ 255]) + packed[61:])
    damaged.append(packed[:-8] + b"\0" * 8)
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"net\.gz.*damaged"):
            theanets.Network.load(path)


@given(st.binary(max_size=60))
def test_random_bytes(content):
    with pytest.raises(FileError):
        checkpoint.read(io.BytesIO(content))


@given(st.data())
def test_flipped_bytes_of_the_header_are_an_error_of_ours_or_nothing(saved, data):
    (length,) = struct.unpack("<Q", saved[:8])
    position = data.draw(st.integers(0, 7 + length))
    value = data.draw(st.integers(0, 255))
    content = saved[:position] + bytes([value]) + saved[position + 1 :]
    with contextlib.suppress(FileError):
        arrays, header = checkpoint.read(io.BytesIO(content))
        assert isinstance(header, dict)
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def framed(entries, body=b""):
    head = json.dumps(entries).encode() if not isinstance(entries, bytes) else entries
    return struct.pack("<Q", len(head)) + head + body


OURS = {"theanets": json.dumps({"version": 1, "kind": "network"})}


@pytest.mark.parametrize(
    "content",
    [
        framed([]),
        framed({}),
        framed({"__metadata__": {"format": "pt"}}),
        framed({"__metadata__": {"theanets": 3}}),
        framed({"__metadata__": {"theanets": "[]"}}),
        framed({"__metadata__": {"theanets": "{"}}),
        framed({"__metadata__": {"theanets": json.dumps({"version": None})}}),
        framed({"__metadata__": OURS, "a": 3}),
        framed({"__metadata__": OURS, "a": {"data_offsets": [0, "x"]}}),
        framed({"__metadata__": OURS, "a": {"data_offsets": [0]}}),
        framed(
            {"__metadata__": OURS, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, -4]}}
        ),
        framed(
            {
                "__metadata__": OURS,
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 10**30]},
            },
            b"1234",
        ),
        framed(
            {"__metadata__": OURS, "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}},
            b"1234",
        ),
        framed(b"[" * 100_000),
        struct.pack("<Q", 2**63) + b"{}",
        framed({"__metadata__": OURS}),
        b"PK\x03\x04 some archive",
    ],
)
def test_foreign_files(tmp_path, content):
    refused(content, tmp_path)


def test_foreign_safetensors(tmp_path):
    content = safetensors.numpy.save({"weight": np.zeros((2, 2), "f4")}, metadata={"format": "pt"})
    refused(content, tmp_path, "not a file of theanets")


class Bomb:
    exploded = False

    def __reduce__(self):
        return setattr, (Bomb, "exploded", True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_executed(tmp_path, protocol):
    for content in (pickle.dumps(Bomb(), protocol), pickle.dumps([Bomb()] * 99, protocol)):
        refused(content, tmp_path)
        refused(struct.pack("<Q", len(content)) + content, tmp_path)
    assert not Bomb.exploded
    pickle.loads(content)
    assert Bomb.exploded
    Bomb.exploded = False


def test_later_version(tmp_path, saved):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    checkpoint.write(tmp_path / "net", arrays, {**header, "version": 99})
    with pytest.raises(FileError, match=r"later version.*format 99.*up to 1"):
        theanets.Network.load(tmp_path / "net")


@pytest.mark.parametrize("key", ["spec", "model", "layers", "losses", "seed"])
def test_incomplete_description(tmp_path, saved, key):
    arrays, header = checkpoint.read(io.BytesIO(saved))
    (header if key == "spec" else header["spec"]).pop(key)
    checkpoint.write(tmp_path / "net", arrays, header)
    with pytest.raises(FileError, match="description of the network lacks"):
        theanets.Network.load(tmp_path / "net")
