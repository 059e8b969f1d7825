"""Files that are written whole or not at all, by any number of threads and processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
from pathlib import Path
from typing import IO

from . import locks
from .errors import naming

#: Bytes of a name that leave room for more: most file systems have names of up to 255.
LONGEST_STEM = 190
#: What tells temporary files of one path from each other: the host, the process and a random
#: number. (Once the number of the process, or the random one, alone.)
_TOKEN = re.compile(r"(?:(?P<host>[0-9A-Za-z_]+)-[0-9]+-)?[0-9a-f]{16}|[0-9]+")


def write(target: str | os.PathLike[str], data: bytes) -> None:
    """Write a file.

    At every moment its path holds the old content or the new one, on the disk
    too. Of several that write at once, the last one stays. What processes that
    were killed left of earlier attempts is removed.

    Parameters
    ----------
    target : path
        A link stays one, to a new file. A device or pipe is written to.
    data : bytes
        The content.

    Raises
    ------
    FileError
        If it cannot be written; the old content then stays.
    """
    path = Path(os.path.realpath(target))
    with naming(target):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        temporary, handle = _create(path)
        try:
            with handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
                if locks.POSIX:
                    # While it is locked, so that nobody takes it for one that was left.
                    os.replace(temporary, path)
            if not locks.POSIX:
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    clean(path)


def beside(target: str | os.PathLike[str], ending: str) -> Path:
    """Get the path of a hidden file that belongs to another, in the same directory."""
    path = Path(os.path.realpath(target))
    stem, raw = path.name, os.fsencode(path.name)
    if len(raw) > LONGEST_STEM:
        stem = hashlib.blake2b(raw, digest_size=16).hexdigest()
    return path.with_name(f".{stem}.{ending}")


def _host() -> str:
    """Get the name of this machine, as it is in names of files."""
    return re.sub("[^0-9A-Za-z]", "_", socket.gethostname())[:32]


def _create(path: Path) -> tuple[Path, IO[bytes]]:
    """Make a temporary file, locked: a rename is atomic only within a file system."""
    while True:
        temporary = beside(path, f"{_host()}-{os.getpid()}-{secrets.token_hex(8)}.tmp")
        handle = temporary.open("xb")
        locks.wait(handle.fileno())
        # Before it was locked, somebody may have taken it for one that was left.
        if temporary.exists():
            return temporary, handle
        handle.close()


def clean(target: str | os.PathLike[str]) -> None:
    """Remove what `write` left of a path in processes that were killed; not what is being written.

    Where the file system has no locks, these cannot be told apart, and stay. So do those of
    other machines, whose locks may not be seen from this one.
    """
    path = Path(os.path.realpath(target))
    start, end = beside(path, f"{'0' * 16}.tmp").name.split("0" * 16)
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            token = entry.name[len(start) : -len(end)]
            found = _TOKEN.fullmatch(token)
            own = found is not None and found["host"] in (None, _host())
            if own and entry.name == f"{start}{token}{end}":
                with contextlib.suppress(OSError):
                    _remove(Path(entry.path))


def _remove(temporary: Path) -> None:
    if not locks.POSIX:
        # One that is open cannot be removed.
        temporary.unlink()
        return
    file = os.open(temporary, os.O_RDWR)
    try:
        if locks.attempt(file):
            temporary.unlink()
    finally:
        os.close(file)


def check_writable(target: str | os.PathLike[str]) -> None:
    """Find out whether `write` can write to a path, without changing what is there; `clean`.

    Raises
    ------
    FileError
        If it cannot.
    """
    path = Path(os.path.realpath(target))
    with naming(target):
        if path.exists() and not path.is_file():
            path.open("ab").close()
            return
        temporary, handle = _create(path)
        handle.close()
        temporary.unlink()
    clean(path)
