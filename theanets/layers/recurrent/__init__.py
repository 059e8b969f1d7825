"""Recurrent layers.

`base` has what they share, and what one of them has to say of itself; `plain` is
the simplest one to read, then `gated`, `rates` and `modules`. `cell` makes one
of a function of the user's, `bidirectional` runs one in both directions.
`weights` says how their weights are drawn, `states` where states start and how
they are carried on, `zoneout` is an option of theirs. The operation that runs
the steps is in `theanets.ops.recurrent`.
"""

from __future__ import annotations

import sys

from . import bidirectional, cell, gated, modules, plain, rates
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

# Pickles of classes from when these modules stood beside this package.
for _name, _module in {
    "bidirectional": bidirectional,
    "form": cell,
    "gated": gated,
    "modules": modules,
    "plain": plain,
    "rates": rates,
}.items():
    sys.modules[f"{__name__}_{_name}"] = _module
