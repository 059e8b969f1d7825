"""The structure of a network: its layers, its list of losses, and their expressions."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from pytensor.compile.mode import Mode

from .. import names as _names
from .. import process
from .. import rng as _rng
from ..backends import place, resolve_mode
from ..data import Field
from ..errors import ConfigurationError, checked, unknown
from ..expressions import Expression, placeholder
from ..graph import Graph
from ..history import History
from ..layers import Layer
from ..losses import Loss
from ..options import flag
from . import builds, expressions, functions, overrides, shared, targets
from . import sizes as _sizes
from .making import Maker, as_dtype, default_output, listed
from .snapshot import Snapshot
from .summary import summarize
from .targets import Targets


class Structure:
    """Layers with a list of weighted losses, and what is kept beside them.

    It is all that a network is; `theanets.Network`, whose arguments these
    are, is what one does with it.
    """

    DEFAULT_OUTPUT_ACTIVATION: ClassVar[str] = "linear"
    INPUT_NDIM: ClassVar[int] = 2
    #: Whether targets are 'labels' or 'values' by default; None for what the loss prefers.
    TARGET: ClassVar[str | None] = None
    #: Whether training asks methods that a subclass overrides; see `theanets.structure.overrides`.
    _asks_methods: bool = True
    #: What is no part of its expressions, where a network is an attribute of another.
    _shapeless: ClassVar[frozenset[str]] = frozenset({"_cache", "_snapshot", "_runs", "history"})
    #: The attributes that are not the user's, or a subclass's.
    _own: ClassVar[frozenset[str]] = frozenset(
        {
            *("graph", "losses", "seed", "mode", "weighted", "history", "metadata"),
            *("_last", "_seed_chosen", "_targets", "_cache", "_trainer", "_unasked"),
            *("_runs", "_current", "_asks_methods", "_snapshot"),
        }
    )
    _snapshot: Snapshot | None = None

    @checked
    def __init__(
        self,
        layers: Iterable[Any] = (),
        loss: Any = "auto",
        weighted: bool = False,
        rng: _rng.Seed = None,
        dtype: str = "float32",
        mode: Mode | str | None = None,
    ) -> None:
        specs = listed(layers)
        dtype = as_dtype(dtype)
        self.seed = _rng.as_seed(rng)
        # A run that goes on from a checkpoint may bring the seed, if nobody chose one.
        self._seed_chosen = rng is not None
        self.graph = Graph(dtype, self.seed)
        self.losses: list[Loss] = []
        self.history = History()
        self.metadata: dict[str, Any] = {}
        self._runs = 0
        self._last: str | None = None
        resolve_mode(mode)
        self.mode = mode
        self.weighted = flag("weighted", weighted, type(self).__name__)
        self._begin()
        # Only one thread trains a network, and those that share its parameters.
        self._trainer = threading.RLock()
        # The same variables for each view of it, so that nothing is compiled anew.
        self._unasked: dict[str, Layer] = {}
        with process.building(dtype):  # once, and not for each layer
            for i, layer in enumerate(specs):
                self.add_layer(layer, is_output=0 < i == len(specs) - 1)
            if loss is not None:
                usual = isinstance(loss, str) and loss == "auto"
                self.set_loss(self._usual_loss() if usual else loss)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse the call: networks of other libraries compute when they are called."""
        raise TypeError(
            f"a {type(self).__name__} is not called; net.predict(x) predicts, and "
            "net.feed_forward(x) gives the outputs of all layers"
        )

    def _usual_loss(self) -> str:
        """Get what such a network is trained with unless the user says it."""
        return "mse"

    def _begin(self) -> None:
        """Have neither targets nor compiled functions yet."""
        self._targets = Targets(
            lambda loss, name: self._make_target(loss, name), self.graph.shape, self.dtype
        )
        self._cache = functions.Functions()

    # ---- the same on other layers ----------------------------------------------------

    sharing = shared.sharing
    go_on_from = shared.go_on_from
    clone = shared.clone

    def reseed(self, seed: int) -> None:
        """Change the seed of all that is drawn from now on; parameters stay as they are."""
        self.seed = self.graph.seed = seed

    # ---- layers ----------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return self.graph.layers

    @property
    def dtype(self) -> str:
        """Type of parameters and computations."""
        return self.graph.dtype

    @property
    def params(self) -> list[Any]:
        """The trained parameters, as shared variables named ``'layer.param'``."""
        return self.graph.params

    @property
    def state(self) -> list[Any]:
        """What training changes but not by gradients, as running means of `batch_norm`."""
        return self.graph.state

    @property
    def num_params(self) -> int:
        """How many numbers the parameters hold."""
        return sum(layer.num_params for layer in self.layers)

    @property
    def inputs(self) -> list[Any]:
        """The symbolic inputs, in the order of the input layers."""
        return self.graph.inputs

    @property
    def output_layer(self) -> Layer:
        """The layer whose output `output_name` is."""
        return self.graph.layer(_names.split_output(self.output_name)[0])

    @property
    def output_name(self) -> str:
        """Full name of the network's output: what is predicted, and what losses are about.

        That is the layer ``out``, unless another layer takes its output. If
        there is none: what the first loss is about that says so, or else the
        last layer of the list that the network was made from, or the last one
        that was added. Losses say what they are about by ``output_name=``.

        Raises
        ------
        ConfigurationError
            If there is no layer besides inputs.
        """
        return default_output(self.graph, self.losses, self._last)

    def add_layer(self, layer: Any = None, is_output: bool = False, **keywords: Any) -> Layer:
        """Append a layer.

        Parameters
        ----------
        layer : int, str, tuple, dict, Layer or Layer class
            Its specification; see `theanets.Network`.
        is_output : bool
            Whether it is called ``out`` unless it says how it is called.
        **keywords
            Keywords of the layer, which win over the specification: ``form``,
            ``size``, ``name``, ``activation``, ``inputs``, ...

        Returns
        -------
        Layer
            Also in `layers`. Without a name it is called ``in`` if it is the
            first, else ``hid1``, ``hid2``, ...; one called ``out``, and the
            last of the list that a network is made from, gets the model's
            default activation.

        Raises
        ------
        ConfigurationError
            If the specification has no meaning, the name is taken, or the
            layer does not fit its inputs.
        """
        maker = Maker(self.DEFAULT_OUTPUT_ACTIVATION, self.INPUT_NDIM)
        made = maker.add(self.graph, layer, is_output, keywords)
        if is_output and not made.is_input:
            self._last = made.output_name
        return made

    def find(self, which: str | int | Layer, param: str | int | None = None) -> Any:
        """Find a layer's parameter.

        Parameters
        ----------
        which : str, int or Layer
            Name or position of the layer, or ``'layer.param'`` at once.
        param : str or int
            Name or position of the parameter.

        Returns
        -------
        shared variable

        Raises
        ------
        UnknownNameError
            If there is no such layer or parameter; also a KeyError.
        """
        if param is None:
            every = {p.name: p for p in self.params}
            if not isinstance(which, str) or which not in every:
                raise unknown("parameter", which, every)
            return every[which]
        return self.graph.layer(which).find(param)

    # ---- losses ------------------------------------------------------------------

    def add_loss(self, loss: Any = "mse", **keywords: Any) -> Loss:
        """Append a loss to `losses`.

        Parameters
        ----------
        loss : str, dict, Loss or callable
            See `Loss.build`; ``'mse'`` by default.
        **keywords
            ``weight``, ``weighted``, ``output_name``, ``target``, options of
            the loss, and ``form`` instead of the first argument.

        Returns
        -------
        Loss

        Raises
        ------
        ConfigurationError
            If there is no such loss, output, or keyword.
        """
        form = keywords.pop("form", loss) if isinstance(loss, str) and loss == "mse" else loss
        if form is None:
            raise ConfigurationError("add_loss(None) needs a loss: a name, dict, Loss or callable")
        built = Loss.build(form, **keywords)
        # Without a layer that computes, what losses are about is yet to come.
        if any(not layer.is_input for layer in self.layers):
            self._bind([*self.losses, built])
        self.losses.append(built)
        return built

    def set_loss(self, loss: Any = "mse", **keywords: Any) -> Loss:
        """Replace all losses by one; see `add_loss`."""
        before, self.losses = self.losses, []
        try:
            return self.add_loss(loss, **keywords)
        except Exception:
            self.losses = before
            raise

    def _make_target(self, loss: Loss, key: str) -> Expression:
        labels = loss.labels
        if loss.target_name is None and self.TARGET is not None:
            labels = self.TARGET == "labels"
        with process.building(self.dtype):
            shape = loss.target_shape(self.graph.shape, labels)
            dtype = "int32" if labels else self.dtype
            return placeholder(key, dtype, (None, *shape))

    @property
    def variables(self) -> list[Expression]:
        """The symbolic arrays that training needs, in the order of the data.

        First all inputs, then each target, followed by its weights if it has any.
        """
        return targets.variables(self.inputs, self.bound_losses())

    @property
    def fields(self) -> list[Field]:
        """What data must look like, in the order of `variables`."""
        losses = self.bound_losses()
        found = targets.fields(self.inputs, losses, self.graph.shape)
        return targets.with_lengths(found, self.graph.by_name, losses)

    def sizes(self, fields: Sequence[Field]) -> Callable[[Sequence[Any], str], None] | None:
        """Get what checks the shapes of arrays, see `theanets.structure.sizes.checker`.

        It is of the present structure, and may be kept as long as that is the same.
        """
        # An instance may go to another network.
        return _sizes.checker(self.graph, [copy.copy(one) for one in self.bound_losses()], fields)

    def _usual_prediction(self, snapshot: Snapshot) -> tuple[str, Any] | None:
        """Get the output that predictions are made of, and how; None if inputs decide that."""
        return snapshot.output_name, None

    def _length_check(self) -> Callable[[Mapping[str, Any]], None] | None:
        """Get what refuses lengths that no series has, given inputs by name."""
        return None

    def bound_losses(self) -> list[Loss]:
        """Get the losses, each with its target: anew, as networks may share an instance."""
        self._bind(self.losses)
        return self.losses

    def _bind(self, losses: list[Loss]) -> None:
        self._settle(losses)
        self._targets.bind(losses, self.inputs)

    def _settle(self, losses: Iterable[Loss]) -> None:
        """Tell losses what they leave to their network."""
        known = [loss for loss in losses if isinstance(loss, Loss)]
        if known:
            output = default_output(self.graph, known, self._last)
            for loss in known:
                loss.follow(output, self.weighted)

    # ---- expressions ---------------------------------------------------------------

    outputs = expressions.outputs
    build_graph = expressions.build_graph
    loss = expressions.loss
    monitors = expressions.monitors
    updates = expressions.updates

    def summary(self) -> str:
        """Describe layers, shapes, parameters and losses in a table."""
        return summarize(self.graph, self.bound_losses(), place(self.mode))

    # ---- compiled functions ----------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Get what is known of the present structure."""
        found = self._snapshot
        if found is None or not found.holds(self):
            found = self._snapshot = Snapshot(self, before=found)
        return found

    def cached(
        self,
        key: Hashable,
        make: Any,
        objective: bool = True,
        snapshot: Snapshot | None = None,
    ) -> Any:
        """Get a compiled function, made unless it was made before for the same structure.

        What can be moved, see `theanets.structure.builds`, is made once for all networks
        of the same build.

        Parameters
        ----------
        key : hashable
            What else it is for.
        make : callable
            Makes it.
        objective : bool
            Whether it is of what `loss` and the like say, and not of outputs alone.
        snapshot : Snapshot, optional
            That of just now.
        """
        # Outputs are those of the layers, whatever the class says of the objective.
        own = overrides.key(self) if objective else None
        whole = (snapshot or self.snapshot()).key((key, own))
        return self._cache.get_or_make(
            whole, lambda: builds.get_or_make(self, key, make, objective), self.dtype
        )


def check_network(net: Any) -> None:
    """Refuse what is no network."""
    if not isinstance(net, Structure):
        raise ConfigurationError(f"net={net!r} is a {type(net).__name__}; expected a network")
