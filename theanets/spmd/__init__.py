"""Training together: one program in several processes, each with data of its own (SPMD).

`train` is what each process calls. It needs a `Group`, which is all that it knows of what carries
messages between them; `theanets.mpi` makes one of an MPI communicator. Read `training.train`
first, then `engines.GroupEngine`, which goes through an epoch.

- `group`: what a group is; groups of threads, to try things in one process.
- `exchange`: what processes tell each other, their failures included.
- `sampling`: how shards of different sizes go through an epoch together.
- `compiled`: the update in two, the share of a process and what becomes of the sum.
- `engines`, `run`, `training`: epochs, runs, and their setting up.
"""

from __future__ import annotations

from .group import Alone, Group, Threads, copies, together
from .training import train

__all__ = ["Alone", "Group", "Threads", "copies", "together", "train"]
