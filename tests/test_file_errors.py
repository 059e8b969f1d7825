"""Files that cannot be read or written: one kind of error, which is Python's too."""

from __future__ import annotations

import errno
import os
import pickle

import numpy as np
import pytest

import theanets
from theanets import atomic
from theanets.callbacks import CSVLogger, SaveBest
from theanets.drawing.network import Drawing
from theanets.errors import FileError, naming
from theanets.history import History

DATA = [np.zeros((4, 2)), np.zeros((4, 1))]


def net():
    return theanets.Regressor([2, 1], mode="FAST_COMPILE")


def train(**options):
    net().train(DATA, epochs=1, **options)


READ = {
    "load": theanets.Network.load,
    "load_params": lambda path: net().load_params(path),
    "load_original": theanets.load_original,
    "experiment": theanets.Experiment,
    "history": History.from_csv,
}
WRITE = {
    "save": lambda path: net().save(path),
    "checkpoint": lambda path: train(checkpoint=path),
    "save_progress": lambda path: train(save_progress=path),
    "csv_logger": lambda path: train(callbacks=[CSVLogger(path)]),
    "save_best": lambda path: train(callbacks=[SaveBest(path)]),
    "history": lambda path: History().to_csv(path),
    "drawing": lambda path: Drawing("<svg/>").save(f"{path}.svg"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("what", READ)
def test_reading(what, tmp_path):
    with pytest.raises(FileError, match=rf"No such file .*'{tmp_path}/model.st'") as caught:
        READ[what](tmp_path / "model.st")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(tmp_path / "model.st")
    with pytest.raises(FileError, match="directory"):
        READ[what](tmp_path)
    with pytest.raises(FileError, match=rf", nor the directory '{tmp_path}/no'"):
        READ[what](tmp_path / "no" / "model.st")
    (tmp_path / "models.st").write_bytes(b"")
    with pytest.raises(FileError, match=r"did you mean 'models\.st'"):
        READ[what](tmp_path / "model.st")


@pytest.mark.parametrize("what", WRITE)
def test_writing(what, tmp_path):
    with pytest.raises(FileError, match=rf"nor the directory '{tmp_path}/no'") as caught:
        WRITE[what](tmp_path / "no" / "x")
    assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="Not a directory") as caught:
        WRITE[what](tmp_path / "file" / "x")
    assert isinstance(caught.value, NotADirectoryError)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (FileNotFoundError, errno.ENOENT),
        (PermissionError, errno.EACCES),
        (IsADirectoryError, errno.EISDIR),
        (NotADirectoryError, errno.ENOTDIR),
        (OSError, errno.ENOSPC),
    ],
)
def test_what_the_system_says_is_kept(kind, number, tmp_path):
    error = OSError(number, os.strerror(number), "temporary")
    with pytest.raises(FileError) as caught, naming(tmp_path / "x"):
        raise error
    made = pickle.loads(pickle.dumps(caught.value))
    for found in (caught.value, made):
        assert isinstance(found, kind)
        assert isinstance(found, ValueError)
        assert (found.errno, found.filename) == (number, str(tmp_path / "x"))
        assert found.strerror.startswith(os.strerror(number))
    assert caught.value.__cause__ is error


def test_what_is_said_already_stays(tmp_path):
    with pytest.raises(FileError, match=r"^damaged$"), naming(tmp_path):
        raise FileError("damaged")
    with pytest.raises(FileError, match=rf"^{tmp_path}: told so$"), naming(tmp_path):
        raise OSError("told so")


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "net.st"
    net().save(path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(FileError, match=f"No space left on device: '{path}'"):
        net().save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.st"]
