"""What a network is to be made of: its layers as specifications, and their parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import convolution, feedforward, names, recurrent, saving
from .. import rng as _rng
from ..errors import ConfigurationError
from ..export.torch_arrays import Array
from ..layers.held import Held
from ..network import Network

#: Forms whose activation, if they have one, is within their formulas.
CLOSED = ("input", "symbols", "rnn", "lstm", "gru", "bidirectional", "transformer")
#: Forms that map their input linearly, and then apply an activation.
LINEAR = ("feedforward", "conv1", "conv2", "conv1_transposed", "conv2_transposed")
RECURRENT = ("rnn", "lstm", "gru", "bidirectional")
IMAGES = ("conv2", "conv2_transposed", "pool2", "upsample2")


def refused(path: str, kind: str, why: str) -> ConfigurationError:
    """Get the error that a part of a foreign model has no counterpart."""
    return ConfigurationError(f"{path!r} ({kind}): {why}")


class Plan:
    """Layers and parameters, as they are found one after the other.

    Nothing is made of them before all are known. Where there are no parameters, they are drawn.

    Parameters
    ----------
    what : str
        What they are of, for messages: ``'the module'``.

    Attributes
    ----------
    layers : list of dict
        Specifications.
    arrays : dict
        Parameters by full name.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.layers: list[dict[str, Any]] = []
        self.arrays: dict[str, Array] = {}
        self._notes: list[str] = []

    def name(self, path: str) -> str:
        """Get what a layer is called by the path of what it is of: ``'body/0'`` of ``'body.0'``.

        Raises
        ------
        ConfigurationError
            If a layer cannot be called so.
        """
        name = path.replace(".", "/")
        if not names.is_word(name) or "/" in path or "+" in path:
            raise ConfigurationError(
                f"{path!r}: a layer cannot be called so; rename the part of {self.what}, with "
                "letters, digits and _"
            )
        return name

    def add(
        self, form: str, name: str, params: Mapping[str, Array] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Add a layer; returns its specification.

        Parameters
        ----------
        form, name, **options
            Of the specification.
        params : dict
            Its parameters by short name; ``fw_xh`` and the like are of the
            halves of a bidirectional layer.
        """
        spec = {"form": form, "name": name, **options}
        self.layers.append(spec)
        for key, value in (params or {}).items():
            half, _, short = key.partition("_")
            two = form == "bidirectional" and half in ("fw", "bw")
            self.arrays[f"{name}_{half}.{short}" if two else f"{name}.{key}"] = value
        return spec

    @property
    def last(self) -> dict[str, Any]:
        """The specification of the last layer."""
        return self.layers[-1]

    def activate(self, activation: str, name: str) -> None:
        """Apply an activation, by the last layer or by one of its own called so."""
        found = self.last
        if found["form"] in CLOSED or is_trained(found.get("activation")):
            self.add("add", name, activation=activation)
            return
        before = found.get("activation", "linear")
        found["activation"] = activation if before == "linear" else f"{before}+{activation}"

    def note(self, path: str, text: str) -> None:
        """Tell the user of something that training does otherwise."""
        self._notes.append(f"{path!r}: {text}")

    # ---- the network -----------------------------------------------------------------

    def model(self) -> type[Network]:
        """Get the usual class of such networks: that which gives what the foreign model gives."""
        forms = {spec["form"] for spec in self.layers}
        start = self.layers[0]
        series = len(start["shape"]) == (1 if start["form"] == "symbols" else 2)
        if series or forms & {*RECURRENT, "transformer", "attention"}:
            return recurrent.Regressor
        return convolution.Regressor if forms & set(IMAGES) else feedforward.Regressor

    def build(self, model: Any, options: Mapping[str, Any]) -> Network:
        """Make the network.

        Parameters
        ----------
        model : class or None
            Of the network; None for the usual one.
        options : dict
            ``loss``, ``weighted``, ``rng``, ``dtype`` and ``mode``, as for
            `theanets.Network`.

        Raises
        ------
        ConfigurationError
            If a model of that class cannot be made of the layers.

        Warns
        -----
        UserWarning
            If training does something otherwise, or a parameter is not finite.
        """
        made: Any = self.model() if model is None else model
        if not (isinstance(made, type) and issubclass(made, Network)):
            raise ConfigurationError(
                f"model={model!r} is not a class of networks such as theanets.Classifier"
            )
        if made.TARGET == "labels":
            self._classify()
        shapes = {name: np.shape(value) for name, value in self.arrays.items()}
        kinds = {value.dtype.name for value in self.arrays.values()}
        seed = options.get("rng")
        described = {
            "layers": self.layers,
            "losses": [],
            "seed": _rng.as_seed(seed),
            "dtype": options.get("dtype") or ("float64" if "float64" in kinds else "float32"),
            "weighted": options.get("weighted", False),
            "mode": options.get("mode"),
        }
        held = Held(shapes, self.what) if shapes else None
        net: Any = saving.from_spec(made, described, held=held)
        if shapes:
            saving.check_shapes(net, shapes, self.what)
            saving.set_arrays(net, self.arrays, self.what)
        loss = options.get("loss", "auto")
        if loss is not None:
            usual = isinstance(loss, str) and loss == "auto"
            net.set_loss(net._usual_loss() if usual else loss)
        for text in [*self._notes, *self._not_finite()]:
            warnings.warn(text, stacklevel=3)
        found: Network = net
        return found

    def _not_finite(self) -> list[str]:
        """Say which parameters are NaN or infinite: the network is what the model is, as it is."""
        counts = {name: int((~np.isfinite(value)).sum()) for name, value in self.arrays.items()}
        found = [
            f"{name!r} ({count} of {self.arrays[name].size})"
            for name, count in counts.items()
            if count
        ]
        if not found:
            return []
        return [
            f"{self.what}: parameters have entries that are NaN or infinite, as predictions may be "
            f"then: {', '.join(found[:5])}{' and others' if len(found) > 5 else ''}"
        ]

    def _classify(self) -> None:
        """Let the last layer be a softmax: what it gave are scores of classes, or of these."""
        found = self.last
        activation = found.get("activation", "linear")
        plain = activation in ("linear", "softmax", "log_softmax")
        if found["form"] not in (*LINEAR, "classifier", "tied") or not plain:
            raise ConfigurationError(
                f"{self.what} ends with {found['name']!r}, a {found['form']} layer with the "
                f"activation {activation!r}; a classifier needs a linear layer at the end, whose "
                "outputs are scores of the classes, with or without a softmax"
            )
        found["activation"] = "softmax"


def is_trained(activation: Any) -> bool:
    """Tell whether an activation has parameters, which belong to the layer of that name."""
    return activation == "prelu"
