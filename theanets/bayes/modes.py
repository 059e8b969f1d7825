"""How PyMC compiles models of networks: as networks themselves are compiled."""

from __future__ import annotations

from typing import Any

import pymc as pm
from pytensor.compile.mode import Mode, get_mode

from .. import backends, linkers


def mode(of: Any = None) -> Mode:
    """Get the mode for PyMC to compile models of networks by.

    With Numba, PyMC's own takes about twice as long to compile, and computes the same.

    Parameters
    ----------
    of : str or Mode, optional
        The mode of a network; by default PyTensor's.

    Returns
    -------
    pytensor.compile.mode.Mode

    Raises
    ------
    ConfigurationError
        If there is no such mode.
    """
    found = get_mode(backends.resolve_mode(of))
    known = linkers.find(found.linker)
    known.check_installed()
    return known.for_others(found)


class Model(pm.Model):
    """A model of PyMC whose functions are compiled as those of a network, see `mode`.

    Where PyMC or a user says another mode, that counts. So it is with nutpie.

    Parameters
    ----------
    of : str or Mode, optional
        The mode of a network.
    **keywords
        As for ``pm.Model``.
    """

    def __init__(self, of: Any = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._of = of

    def compile_fn(self, outs: Any, *, mode: Any = None, **keywords: Any) -> Any:
        """Compile expressions of the model."""
        return super().compile_fn(outs, mode=self._mode(mode), **keywords)

    def logp_dlogp_function(self, *arguments: Any, mode: Any = None, **keywords: Any) -> Any:
        """Compile the logarithm of the density and its gradient."""
        return super().logp_dlogp_function(*arguments, mode=self._mode(mode), **keywords)

    def _mode(self, given: Any) -> Any:
        return mode(self._of) if given is None else given
