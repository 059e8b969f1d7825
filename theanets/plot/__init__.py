"""Pictures of networks and of their training.

`history`, `weights`, `confusion`, `reconstructions` and `reliability` draw with matplotlib,
which the extra ``plot`` installs, and return the `matplotlib.axes.Axes` they
drew on: those that are given, ``ax=``, or those of a new figure. `graph` draws
the network itself, and needs nothing.
"""

from __future__ import annotations

from .calibration import reliability
from .curves import history
from .graphs import graph
from .images import reconstructions, weights
from .tables import confusion

__all__ = ["confusion", "graph", "history", "reconstructions", "reliability", "weights"]
