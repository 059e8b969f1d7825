"""Locks on files, which end with the process that has them, however it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from pathlib import Path

from .errors import FileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

#: Whether a file that is open can be renamed and removed, as it cannot on Windows.
POSIX = fcntl is not None


def wait(file: int) -> None:
    """Lock an open file, as soon as nobody else has it; where there are no locks, do nothing."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def attempt(file: int) -> bool | None:
    """Lock an open file, until it is closed.

    Returns
    -------
    bool or None
        Whether it is locked now; None where the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            # Others cannot read what is locked, and are to read the beginning.
            os.lseek(file, 1 << 20, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


class LockFile:
    """A lock file, which one run at a time has.

    What is left of it after a kill hinders nobody.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is for, for messages.

    Raises
    ------
    FileError
        If another run has it, of this process or of another.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._file: int | None = None
        for _ in range(100):
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError:
                # Nothing can be written here; who tries to will be told.
                return
            if attempt(file) is False:
                try:
                    os.lseek(file, 0, os.SEEK_SET)
                    owner = os.read(file, 200).decode(errors="replace")
                finally:
                    os.close(file)
                raise FileError(
                    f"{what}: it is in use by another run ({owner or 'which just begins'}); give "
                    "each run a file of its own, or wait until that one has ended"
                )
            # Whoever had it may have removed it just now.
            if _is_at(file, path):
                break
            os.close(file)
        else:
            return
        self._file = file
        try:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            self.release()
            raise FileError(f"{what}: its lock file {path} cannot be written: {error}") from error
        _held.add(self)

    def release(self) -> None:
        """Let others have it; once."""
        file, self._file = self._file, None
        if file is None:
            return
        if fcntl is not None:
            self.path.unlink(missing_ok=True)
            # A process that was forked has the file open too.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)
        if fcntl is None:
            with contextlib.suppress(OSError):
                self.path.unlink()


_held: weakref.WeakSet[LockFile] = weakref.WeakSet()


def _after_fork() -> None:
    """Leave the locks to the process that was forked, which may end before this one."""
    for lock in list(_held):
        if lock._file is not None:
            os.close(lock._file)
            lock._file = None


if fcntl is not None:
    os.register_at_fork(after_in_child=_after_fork)


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False
