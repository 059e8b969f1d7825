"""One order of locks for all tests of threads, which are held to it."""

import threading

from theanets import process


class Builders:
    """The lock of `process.building`, which comes before those of variables."""

    def __init__(self):
        self.lock = threading.RLock()

    def __enter__(self):
        with process.table:  # others make locks meanwhile
            locks = list(process._every)
        owned = any(lock.thread_lock._is_owned() for lock in locks)
        assert self.lock._is_owned() or not owned, "builds under a lock of variables"
        return self.lock.__enter__()

    def __exit__(self, *error):
        self.lock.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self.lock, name)
