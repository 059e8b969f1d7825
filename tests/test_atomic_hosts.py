"""Temporary files of several machines that share a directory."""

import os
import socket

from atomic_cases import TOKENS

from theanets import atomic


def test_temporary_files_are_named_by_the_host_and_the_process(tmp_path, monkeypatch):
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: seen.append(str(a)) or replace(a, b))
    for host in ("node-12.cluster", "n" * 80):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        for name in ("run", "r" * 250):
            atomic.write(tmp_path / name, b"content")
    short = ["node_12_cluster", "node_12_cluster", *2 * ["n" * 32]]
    for path, host in zip(seen, short, strict=True):
        assert f".{host}-{os.getpid()}-" in os.path.basename(path)
        assert len(os.path.basename(path)) <= 255
    assert len(list(tmp_path.iterdir())) == 2


def test_those_of_other_machines_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    path = tmp_path / "run"
    own, other, old = (
        atomic.beside(path, f"{start}{TOKENS[1]}.tmp") for start in ("here-12-", "there-12-", "")
    )
    for file in (own, other, old):
        file.touch()
    atomic.write(path, b"content")
    assert sorted(tmp_path.iterdir()) == sorted([path, other])
