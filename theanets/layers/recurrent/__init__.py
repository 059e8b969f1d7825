"""Recurrent layers.

`base` has what they share, and what one of them has to say of itself; `plain` is
the simplest one to read, then `gated`, `rates` and `modules`. `cell` makes one
of a function of the user's, `bidirectional` runs one in both directions.
`weights` says how their weights are drawn, `states` where states start and how
they are carried on, `zoneout` is an option of theirs. The operation that runs
the steps is in `theanets.ops.recurrent`.
"""

from __future__ import annotations

from .base import Recurrent
from .bidirectional import Bidirectional
from .cell import CellLayer
from .gated import GRU, LSTM, MUT1
from .modules import BCRNN, Clockwork
from .plain import RNN
from .rates import MRNN, RRNN, SCRN

__all__ = [
    "BCRNN",
    "GRU",
    "LSTM",
    "MRNN",
    "MUT1",
    "RNN",
    "RRNN",
    "SCRN",
    "Bidirectional",
    "CellLayer",
    "Clockwork",
    "Recurrent",
]
