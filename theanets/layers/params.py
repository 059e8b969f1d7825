"""The parameters of a layer: how they are made, drawn and found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pytensor

from .. import init
from ..errors import ConfigurationError, check_keywords, unknown
from ..expressions import Shared, untrained
from ..options import number
from . import held
from .sizes import Sizes

#: Keywords of a layer that say how weights are drawn.
DRAWS = ("mean", "std", "sparsity", "diagonal", "radius")
#: Those that say how biases are drawn.
BIAS_DRAWS = ("mean", "std")


class Parameters(Sizes):
    """What a `Layer` knows of its parameters."""

    dtype: str
    rng: np.random.Generator
    draws: dict[str, float]
    _params: dict[str, Any]
    _state: dict[str, Any]
    _asked: set[str]

    @property
    def params(self) -> list[Any]:
        """The trained parameters: shared variables named ``'layer.param'``."""
        return list(self._params.values())

    @property
    def state(self) -> list[Any]:
        """What training changes but not by gradients: shared variables, saved with the others."""
        return list(self._state.values())

    @property
    def num_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(p.get_value(borrow=True).size for p in self.params)

    @property
    def turned_size(self) -> int | None:
        """How many units a layer has that turns its matrix ``w`` around; None if none can."""
        if len(self.input_names) != 1 or not self.input_shape or not self.has("w"):
            return None
        pre = self.output_shapes.get("pre", self.output_shape)
        size: int | None = self.input_shape[-1]
        return size if tuple(self.find("w").type.shape) == (size, *pre[-1:]) else None

    def log_params(self) -> str:
        """Describe the parameters, one in each line."""
        return "\n".join(f"{p.name}: {p.type.shape} {p.dtype}" for p in self.params)

    def has(self, name: str) -> bool:
        """Tell whether there is a parameter of that name."""
        return name in self._params

    def find(self, key: str | int) -> Shared:
        """Find a parameter by name (``'w'``) or position.

        Raises
        ------
        UnknownNameError
            If the layer has no such parameter.
        """
        found = list(self._params)
        if isinstance(key, Integral) and -len(found) <= key < len(found):
            return self._params[found[int(key)]]
        if isinstance(key, str) and key in self._params:
            return self._params[key]
        if isinstance(key, str) and key in self._state:
            return self._state[key]
        raise unknown(f"parameter of layer {self.full_name!r}", key, [*found, *self._state])

    def add_param(self, name: str, value: Any, shape: Sequence[int] | None = None) -> Shared:
        """Make a parameter from its initial value.

        Parameters
        ----------
        name : str
            Short name; the variable is called ``'layer.name'``.
        value : array-like or callable
            Initial value; cast to the network's dtype. A function returns it.
        shape : tuple of int, optional
            Shape, to which the value is broadcast. Where it is given, no value
            is made for a network whose values come from a file.

        Returns
        -------
        shared variable
        """
        self._params[name] = self._shared(name, value, shape)
        return self._params[name]

    def add_state(self, name: str, value: Any, shape: Sequence[int] | None = None) -> Shared:
        """Make what is kept from batch to batch, a running mean for instance.

        It is saved with a network, and with its best parameters; only what
        ``transform`` adds to ``inputs.updates`` changes it.

        Parameters
        ----------
        name : str
            Short name; the variable is called ``'layer.name'``.
        value, shape
            As for `add_param`.

        Returns
        -------
        shared variable
        """
        self._state[name] = untrained(self._shared(name, value, shape))
        return self._state[name]

    def _shared(self, name: str, value: Any, shape: Sequence[int] | None) -> Shared:
        if name in self._params or name in self._state:
            raise ConfigurationError(f"layer {self.full_name!r} has two parameters {name!r}")
        full, known = f"{self.name}.{name}", held.current()
        if known is not None and shape is not None:
            value = known.stand_in(full, tuple(shape), self.dtype)
            return pytensor.shared(value, name=full, shape=value.shape, borrow=True)
        value = value() if callable(value) else value
        if shape is not None and np.shape(value) != tuple(shape):
            value = np.broadcast_to(value, tuple(shape))
        value = np.array(value, dtype=self.dtype, order="C")
        return pytensor.shared(value, name=full, shape=value.shape)

    def add_weights(
        self,
        name: str,
        nin: int | None = None,
        nout: int | None = None,
        mean: float | None = None,
        std: float | None = None,
        *,
        blocks: Sequence[int] | None = None,
        orthogonal: bool = False,
        **draws: float,
    ) -> Shared:
        """Make a matrix of weights.

        Parameters
        ----------
        name : str
            Short name.
        nin, nout : int, optional
            Shape; by default the sizes of the single input and the output.
        mean, std : float, optional
            As in ``draws``.
        blocks : list of int, optional
            Widths of the matrices that the parameter has side by side, for
            the gates of a recurrent layer for instance, instead of ``nout``.
            Each is drawn by itself, so that ``diagonal`` and the like are
            about each.
        orthogonal : bool
            Whether they are orthogonal, see `theanets.init.random_orthogonal`,
            where neither ``draws`` nor keywords of the layer say how to draw.
        **draws
            Defaults for ``mean``, ``std``, ``sparsity``, ``diagonal`` and
            ``radius``, which keywords of the layer override.
        """
        draws.update(_given(mean=mean, std=std))
        rows = self.input_size if nin is None else nin
        widths = blocks or [self.output_size if nout is None else nout]
        how = [self._draws(name, self.general_draws(nin, cols), draws) for cols in widths]

        def draw() -> Any:
            parts = []
            for cols, found in zip(widths, how, strict=True):
                if orthogonal and not found:
                    parts.append(init.random_orthogonal(rows, cols, self.rng, self.dtype))
                else:
                    parts.append(self._random_matrix(name, rows, cols, found))
            return parts[0] if len(parts) == 1 else np.hstack(parts)

        return self.add_param(name, draw, (rows, sum(widths)))

    def general_draws(self, nin: int | None, nout: int) -> tuple[str, ...]:
        """Get the keywords that are, without a suffix, for a matrix of weights.

        Parameters
        ----------
        nin : int or None
            Its rows; None for those of the input.
        nout : int
            Its columns.
        """
        return DRAWS

    def add_bias(
        self,
        name: str,
        size: int | None = None,
        mean: float | None = None,
        std: float | None = None,
    ) -> Shared:
        """Make a vector of biases, of zeros unless ``mean`` or ``std`` is given.

        Keywords of the layer with the parameter's suffix, ``mean_b`` and
        ``std_b`` for ``b``, override these; those without a suffix are
        for weights only.
        """
        size = self.output_size if size is None else size
        found = self._draws(name, (), _given(mean=mean, std=std), BIAS_DRAWS)
        return self.add_param(
            name, lambda: init.random_vector(size, rng=self.rng, **found), (size,)
        )

    def _random_matrix(self, name: str, rows: int, cols: int, draws: dict[str, Any]) -> Any:
        try:
            return init.random_matrix(rows, cols, rng=self.rng, **draws)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"layer {self.full_name!r}, parameter {name!r}: {error}"
            ) from None

    def _draws(
        self,
        name: str,
        common: Iterable[str],
        defaults: dict[str, float],
        kinds: Iterable[str] = DRAWS,
    ) -> dict[str, Any]:
        """Get how a parameter is drawn, and note which keywords were asked for.

        Parameters
        ----------
        name : str
            Short name.
        common : iterable of str
            The keywords that are for it without a suffix.
        defaults : dict
            What keywords of the layer override.
        kinds : iterable of str
            The keywords that are for it with its name as a suffix.
        """
        suffixed = {f"{kind}_{name}": kind for kind in kinds}
        self._asked.update(common, suffixed)
        found = dict(defaults)
        found.update({key: self.draws[key] for key in common if key in self.draws})
        found.update({kind: self.draws[k] for k, kind in suffixed.items() if k in self.draws})
        return {key: value for key, value in found.items() if value or key in BIAS_DRAWS}

    def check_draws(self) -> None:
        """Refuse keywords about drawing that are for none of the parameters.

        Raises
        ------
        ConfigurationError
            Names the valid ones.
        """
        unused = {k for k, v in self.draws.items() if k not in self._asked and (v or "_" in k)}
        check_keywords(f"layer {self.full_name!r}", sorted(unused), self._asked)

    def take_draws(self, options: dict[str, Any], valid: Iterable[str]) -> dict[str, float]:
        """Remove the keywords about drawing weights from others, and return them."""
        taken = [k for k in options if k.partition("_")[0] in DRAWS and k not in valid]
        where = f"layer {self.full_name!r}"
        return {key: number(key, options.pop(key), where=where) for key in taken}


def _given(**values: float | None) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}
