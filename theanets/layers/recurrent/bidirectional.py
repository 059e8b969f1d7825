"""A recurrent layer that runs over series in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import pytensor.tensor as pt

from ... import activations
from ...errors import ConfigurationError
from ...expressions import Expression, Shared
from ...options import Flag, Whole
from ...rng import Seed
from ..base import Layer
from ..signals import Inputs, Shape
from .base import Recurrent

#: Options that name initial states.
INITIAL = ("h_0", "c_0", "s_0")


class Bidirectional(Layer, names=("bidirectional",)):
    """Two recurrent layers over the same series, one of them backward.

    Each has half of the units. What they give for the same step of the series
    is put side by side, the forward half first.

    The halves are layers of their own, ``<name>_fw`` and ``<name>_bw``, with
    parameters like ``<name>_fw.xh``; ``net.find('<name>', 'fw_xh')`` and
    ``net.find('<name>_fw', 'xh')`` find them. Outputs are those of the halves,
    joined, and each by itself: ``out``, ``fw_out``, ``bw_out``, ...

    Parameters
    ----------
    worker : str or dict
        The form of the halves, ``'lstm'``, or a dict with further options of
        theirs, ``dict(form='lstm', peepholes=False)``.
    last, lengths, bptt_limit, zoneout
        As for all recurrent layers, see `Recurrent`. With ``last``, ``out`` is
        what both end with: the backward half at the first step.
    aligned : bool
        Whether the outputs of both halves at a step are about the same step
        of the series. Else those of the backward half are in the order of its
        run, the last step's first, as in theanets up to 0.8.
    h_0, c_0, s_0 : str, or pair of str
        Name of an output that is the initial state, as far as the halves have
        such a state: its first half is the forward layer's, at the first
        step, its second half the backward layer's, at the last step. Or two
        names, one for each half.

    References
    ----------
    Schuster & Paliwal 1997, "Bidirectional recurrent neural networks".
    """

    options: ClassVar[dict[str, Any]] = {
        "worker": "rnn",
        "last": Flag(False),
        "lengths": None,
        "bptt_limit": Whole(None),
        "zoneout": 0.0,
        "aligned": Flag(True),
        **dict.fromkeys(INITIAL),
    }
    worker: Any
    last: bool
    lengths: Any
    bptt_limit: int | None
    zoneout: Any
    aligned: bool
    max_inputs = 1
    leaves_out_steps = True
    is_recurrent = True
    cannot_continue = "runs backward"

    def __init__(self, name: str | None = None, *, rng: Seed = None, **options: Any) -> None:
        super().__init__(name, rng=rng, **options)
        self._halves: list[Layer] = []
        self._network_seed = 0

    @property
    def workers(self) -> Sequence[Layer]:
        """The forward half and the backward half."""
        return tuple(self._halves)

    def _build_activation(self, spec: Any) -> activations.Activation:
        # It is the halves', parameters included.
        activations.build(spec)
        return activations.build("linear")

    def _make_halves(self) -> list[Layer]:
        size = self.shape[0] if self.shape is not None and len(self.shape) == 1 else None
        if size is None:
            raise ConfigurationError(f"layer {self.full_name!r} needs a size; shape={self.shape!r}")
        if size % 2:
            raise ConfigurationError(
                f"layer {self.full_name!r}: size={size} is odd; each direction has half of the "
                f"units, so {size - 1} or {size + 1} would be possible"
            )
        named = isinstance(self.worker, Mapping) and all(isinstance(k, str) for k in self.worker)
        spec = dict(self.worker) if named else {"form": self.worker}
        form = spec.pop("form", "rnn")
        kind = Layer.registry[form] if isinstance(form, str) else form
        if not (isinstance(kind, type) and issubclass(kind, Recurrent)):
            raise ConfigurationError(
                f"layer {self.full_name!r}: worker={self.worker!r} is not a recurrent layer"
            )
        taken = {"name", "size", "shape", "inputs", "direction", "stateful", *INITIAL} & set(spec)
        if taken:
            raise ConfigurationError(
                f"layer {self.full_name!r}: worker={self.worker!r} cannot say "
                f"{', '.join(sorted(taken))}; that is up to the bidirectional layer"
            )
        keywords = {"activation": self.activation_spec, "rng": self.seed, **self.draws}
        for key in ("last", "lengths", "bptt_limit", "zoneout"):
            keywords[key] = getattr(self, key)
        halves: list[Layer] = []
        back = "backward" if self.aligned else "reversed"
        for i, (half, direction) in enumerate((("fw", "forward"), ("bw", back))):
            given = self._given_states(kind, i)
            layer = kind(
                f"{self.name}_{half}",
                size=size // 2,
                inputs=self.inputs,
                direction=direction,
                **{**keywords, **spec, **given},
            )
            if given and not self._pairs():
                layer.part = (i, 2)
            halves.append(layer)
        return halves

    def _pairs(self) -> bool:
        found = [isinstance(getattr(self, key), (list, tuple)) for key in INITIAL]
        given = [getattr(self, key) is not None for key in INITIAL]
        if any(found) and found != given:
            raise ConfigurationError(
                f"layer {self.full_name!r}: {', '.join(INITIAL)} must all be names, or all be "
                "pairs of names"
            )
        return any(found)

    def _given_states(self, kind: type[Recurrent], half: int) -> dict[str, Any]:
        """Get the options of a half that name its initial states."""
        found = {}
        for key in INITIAL:
            value = getattr(self, key)
            if value is None:
                continue
            if key not in kind.initial.values():
                raise ConfigurationError(
                    f"layer {self.full_name!r}: {key}={value!r}, but its worker "
                    f"{Layer.registry.name_of(kind)!r} has only "
                    f"{', '.join(kind.initial.values())}"
                )
            if self._pairs():
                if len(value) != 2:
                    raise ConfigurationError(
                        f"layer {self.full_name!r}: {key}={value!r} is not a name, or a pair of "
                        "names"
                    )
                value = value[half]
            found[key] = value
        return found

    def bind(self, layers: Mapping[str, Layer], *, dtype: str = "float32", seed: int = 0) -> None:
        """Take the layer's place in a network; see `Layer.bind`."""
        self._network_seed = seed
        super().bind(layers, dtype=dtype, seed=seed)

    def resolve_inputs(self, layers: Mapping[str, Layer]) -> list[str]:
        """Make the halves, and get the names of what feeds them."""
        if not self.bound:
            self._halves = self._make_halves()
        forward, backward = (half.resolve_inputs(layers) for half in self._halves)
        # Those of initial states may differ.
        return [*forward, *(name for name in backward if name not in forward)]

    @property
    def input_name(self) -> str:
        """Full name of the series."""
        return self.input_names[0]

    @property
    def input_shape(self) -> Shape:
        """Shape of one series."""
        return self.input_shapes[0]

    def resolve_outputs(self) -> dict[str, Shape]:
        """Get the shapes of all outputs; binds the halves."""
        for half in self._halves:
            half.bind(self.layers, dtype=self.dtype, seed=self._network_seed)
        return self._joined(self._halves[0].output_shapes)

    def shapes_for(self, found: Mapping[str, Shape]) -> dict[str, Shape]:
        """Get the shapes of the outputs where the inputs have sizes that were open before."""
        return self._joined(self._halves[0].shapes_for(found))

    def _joined(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        found: dict[str, Shape] = {}
        for key, shape in shapes.items():
            width = shape[-1]
            found[key] = (*shape[:-1], None if width is None else 2 * width)
        for prefix in ("fw", "bw"):
            found.update({f"{prefix}_{key}": shape for key, shape in shapes.items()})
        return found

    def steps_after(self, output: str, lengths: Mapping[str, Any]) -> Expression | None:
        """Get the number of steps of each series, where the output is one."""
        return self._halves[0].steps_after(output.removeprefix("fw_").removeprefix("bw_"), lengths)

    def steps_before(self, output: str, lengths: Expression) -> dict[str, Expression]:
        """Get the number of steps of the input."""
        return self._halves[0].steps_before(output.removeprefix("fw_").removeprefix("bw_"), lengths)

    def setup(self) -> None:
        """Take the parameters of the halves."""
        for prefix, half in zip(("fw", "bw"), self._halves, strict=True):
            for name in half._params:
                self._params[f"{prefix}_{name}"] = half._params[name]
            self._asked |= half._asked

    def transform(self, inputs: Inputs) -> dict[str, Expression]:
        """Run both halves."""
        results = []
        for half in self._halves:
            own = Inputs({n: inputs[n] for n in half.input_names}, inputs.training)
            own.lengths = inputs.lengths
            own.generator = partial(self._generator, inputs, half)
            results.append(half.transform(own))
            inputs.updates.update(own.updates)
        forward, backward = results
        joined = {
            key: pt.concatenate([forward[key], backward[key]], axis=-1)
            for key in self._halves[0].output_shapes
        }
        for prefix, result in zip(("fw", "bw"), results, strict=True):
            joined.update({f"{prefix}_{key}": value for key, value in result.items()})
        return joined

    @staticmethod
    def _generator(inputs: Inputs, half: Layer, what: str) -> Shared:
        return inputs.generator(f"{half.name}:{what}")

    def to_spec(self) -> dict[str, Any]:
        """Get the keywords that build the layer again, with its form."""
        spec = super().to_spec()
        if self.activation_spec is None:
            del spec["activation"]
        if self.input_names:
            spec["inputs"] = self.input_names[:1]
        return spec
