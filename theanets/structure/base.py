"""The structure of a network: its layers, its list of losses, and their expressions."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from .. import process, spec
from .. import rng as _rng
from ..backends import resolve_mode
from ..data import Field
from ..errors import ConfigurationError
from ..expressions import placeholder
from ..graph import Outputs
from ..layers import Input
from ..losses import Loss
from ..objective import build as build_objective
from ..options import flag
from ..regularizers import from_kwargs
from . import overrides, targets
from . import sizes as _sizes
from .layered import Layered
from .replacement import replaced
from .summary import summarize
from .targets import Targets

#: Compiled functions that a network keeps; the least recently used goes first.
CACHE_SIZE = 16


class Structure(Layered):
    """Layers with a list of weighted losses; what `Network` is built on.

    Parameters
    ----------
    layers : sequence
        Specifications of the layers, from input to output: an int (a size), a
        tuple such as ``(100, 'tanh')``, the name of a form such as
        ``'flat'``, a dict, a `Layer` instance or a `Layer` class.
    loss : str, dict, Loss, callable or None
        The first loss; see `Loss.build`. None for no loss yet.
    weighted : bool
        Whether the data hold an array of weights for the target, see `Loss`.
    rng : int, Generator, RandomState or None
        The seed that governs everything random in this network. By default
        a fresh one, see `theanets.set_seed`; it is kept in ``seed``, and in
        files.
    dtype : {'float32', 'float64', 'floatX'}
        Type of parameters and computations; ``'floatX'`` is PyTensor's.
    mode : str or Mode, optional
        How functions are compiled: ``'NUMBA'``, ``'CVM'``, ``'JAX'``,
        ``'PYTORCH'``, ``'FAST_COMPILE'``. By default PyTensor's
        configuration, ``pytensor.config.mode``.

    Attributes
    ----------
    losses : list of Loss
        What training minimizes the weighted sum of. Weights may be changed at
        any time: ``net.losses[1].weight = 2``.

    Raises
    ------
    ConfigurationError
        If a specification has no meaning, or layers do not fit each other.
    """

    #: Whether targets are 'labels' or 'values' by default; None for what the loss prefers.
    TARGET: ClassVar[str | None] = None
    #: Whether training asks methods that a subclass overrides; see `theanets.structure.overrides`.
    _asks_methods: bool = True
    #: What is no part of its expressions, where a network is an attribute of another.
    _shapeless: ClassVar[frozenset[str]] = frozenset({"_cache", "_runs", "history"})

    def __init__(
        self,
        layers: Iterable[Any] = (),
        loss: Any = "mse",
        weighted: bool = False,
        rng: _rng.Seed = None,
        dtype: str = "float32",
        mode: Any = None,
    ) -> None:
        super().__init__(rng, dtype)
        resolve_mode(mode)
        self.mode = mode
        self.weighted = flag("weighted", weighted, type(self).__name__)
        self._targets = Targets(
            lambda loss, name: self._make_target(loss, name), self.graph.shape, self.dtype
        )
        self._cache: OrderedDict[Hashable, Any] = OrderedDict()
        self._trainer = threading.RLock()
        self._add_layers(layers)
        if loss is not None:
            self.set_loss(loss)

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
        if any(not isinstance(layer, Input) for layer in self.layers):
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

    def _make_target(self, loss: Loss, key: str) -> Any:
        labels = loss.labels
        if loss.target_name is None and self.TARGET is not None:
            labels = self.TARGET == "labels"
        with process.building(self.dtype):
            shape = loss.target_shape(self.graph.shape, labels)
            dtype = "int32" if labels else self.dtype
            return placeholder(key, dtype, (None, *shape))

    @property
    def variables(self) -> list[Any]:
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
            output = self._output_among(known)
            for loss in known:
                loss.follow(output, self.weighted)

    # ---- expressions ---------------------------------------------------------------

    def outputs(
        self,
        training: bool = False,
        *,
        replace: Mapping[Any, Any] | None = None,
        **regularizers: Any,
    ) -> Outputs:
        """Get the symbolic expressions of all outputs by full name.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        replace : dict, optional
            Expressions or arrays to use in the place of parameters and
            inputs, by name (``'hid1.w'``, ``'in'``) or by the variable itself.
        **regularizers
            Noise to put in the graph; see `theanets.regularizers.from_kwargs`.

        Returns
        -------
        Outputs
            A dict; its ``updates`` must be given to a function that is to
            draw new noise at each call.

        Raises
        ------
        UnknownNameError
            If there is nothing of a name in ``replace``.
        ConfigurationError
            If what replaces a variable is not of its type.

        Examples
        --------
        The network's mean as a function of weights that are random variables::

            net.outputs(replace={'hid1.w': w, 'in': x})['out:out']
        """
        objective = None if replace else overrides.shown(self, training, regularizers)
        if objective is not None:
            return objective.outputs
        found, _ = from_kwargs(self.layers, **regularizers)
        outputs = self.graph.outputs(training=training, regularizers=found, seed=self.seed)
        overrides.adopt(self, outputs.updates)
        if replace:
            variables = [*self.params, *self.state, *self.inputs]
            outputs.replace(lambda expressions: replaced(expressions, variables, replace))
        return outputs

    def build_graph(self, regularizers: Sequence[Any] = ()) -> tuple[Outputs, list[Any]]:
        """Get the outputs, and the updates that go with them, as pairs."""
        objective = overrides.shown(self, None, {"regularizers": regularizers})
        if objective is not None:
            return objective.outputs, list(objective.outputs.updates.items())
        found, _ = from_kwargs(self.layers, regularizers=regularizers)
        outputs = self.graph.outputs(regularizers=found, seed=self.seed)
        overrides.adopt(self, outputs.updates)
        return outputs, list(outputs.updates.items())

    def loss(
        self,
        training: bool = False,
        *,
        replace: Mapping[Any, Any] | None = None,
        **regularizers: Any,
    ) -> Any:
        """Get the symbolic scalar that training minimizes.

        Parameters
        ----------
        training : bool
            Whether layers that differ in training show their training form.
        replace : dict, optional
            As for `outputs`; targets and their weights can be replaced too.
        **regularizers
            Penalties and noise; see `theanets.regularizers.from_kwargs`.

        Returns
        -------
        scalar expression
            Of `variables`; weights of losses and penalties are shared
            variables with their present values.
        """
        objective = overrides.shown(self, training, regularizers)
        if objective is None:
            found, scale = from_kwargs(self.layers, **regularizers)
            losses = self.bound_losses()
            objective = build_objective(
                self.graph, losses, found, training=training, seed=self.seed
            )
            objective.strengths.assign(losses, found, scale)
            overrides.adopt(self, objective.outputs.updates)
        if not replace:
            return objective.total
        variables = [*self.params, *self.state, *self.variables]
        return replaced([objective.total], variables, replace)[0]

    def monitors(self, monitors: Any = (), **regularizers: Any) -> list[tuple[str, Any]]:
        """Get the symbolic scalars that an evaluation measures.

        Parameters
        ----------
        monitors : dict or list
            Further things to watch; see `theanets.monitors.custom`.
        **regularizers
            Penalties, which are measured too; see `theanets.regularizers.from_kwargs`.

        Returns
        -------
        list of (str, scalar expression)
            Names, such as ``'xe'`` and ``'acc'``, and means over the examples of
            `variables`.
        """
        objective = overrides.shown(self, None, regularizers)
        if objective is None:
            found, scale = from_kwargs(self.layers, **regularizers)
            losses = self.bound_losses()
            objective = build_objective(
                self.graph, losses, found, training=False, watched=monitors, seed=self.seed
            )
            objective.strengths.assign(losses, found, scale)
        return list(objective.means())

    def updates(self, training: bool = False, **regularizers: Any) -> list[tuple[Any, Any]]:
        """Get the updates that a function of the outputs needs, as pairs; see `outputs`."""
        return list(self.outputs(training, **regularizers).updates.items())

    def summary(self) -> str:
        """Describe layers, shapes, parameters and losses in a table."""
        return summarize(self.graph, self.bound_losses())

    # ---- compiled functions ----------------------------------------------------------

    def _structure(self, objective: bool) -> Hashable:
        """Get what the compiled functions depend on, besides the call's arguments."""
        # Outputs are those of the layers, whatever the class says of the objective.
        own = overrides.key(self) if objective else None
        parts = [own, *(spec.frozen(layer.cache_key()) for layer in self.layers)]
        for loss in self.bound_losses():
            # All attributes: those of a class of the user may shape the graph too.
            described = {k: v for k, v in vars(loss).items() if k[0] != "_"}
            about = (loss.output_name, loss.main, loss.weighted)
            parts.append((type(loss), *loss.variables, about, spec.frozen(described)))
        return tuple(parts)

    def cached(self, key: Hashable, make: Any, objective: bool = True) -> Any:
        """Get a compiled function, made unless it was made before for the same structure.

        Parameters
        ----------
        key : hashable
            What else it is for.
        make : callable
            Makes it.
        objective : bool
            Whether it is of what `loss` and the like say, and not of outputs alone.
        """
        key = (key, self._structure(objective))
        found = self._known(key)
        if found is not None:
            return found
        with process.building(self.dtype):
            found = self._known(key)  # another thread may have made it meanwhile
            if found is None:
                found = make()
                with process.table:
                    self._cache[key] = found
                    while len(self._cache) > CACHE_SIZE:
                        self._cache.popitem(last=False)
        return found

    def _known(self, key: Hashable) -> Any:
        with process.table:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)
