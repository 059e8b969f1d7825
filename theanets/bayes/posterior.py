"""The posterior: draws of a network's parameters, and predictions by them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
import xarray as xr

from .. import losses
from .. import rng as _rng
from ..data import chunks, gather, prepare
from ..errors import ConfigurationError, unknown
from ..names import output_name
from ..network import Network
from ..options import as_number
from ..prediction import with_a_row
from ..process import building
from . import files
from .compiled import Function, Make, existing, linearized, pointwise, raw_outputs
from .likelihoods import Term
from .models import arrays_of, expressions, terms_of
from .modes import mode

Array = npt.NDArray[Any]

#: Rows that are predicted at once.
BATCH_SIZE = 4096
WHAT = ("mean", "observed")


class Posterior:
    """Draws from the posterior of a network's parameters.

    `theanets.bayes.fit` makes it.

    Parameters
    ----------
    net : Network
        The network; the posterior keeps a copy of its own.
    idata : xarray.DataTree
        With a group ``posterior`` of draws by name of parameter (and of
        ``'out_noise'``), with the dimensions ``chain`` and ``draw``.
    terms : list of Term
        The likelihoods of its losses.
    method : str
        How it was found.
    noise : dict, optional
        Spreads that are known, by name.

    Attributes
    ----------
    idata : xarray.DataTree
        What ArviZ works on: ``arviz.summary(posterior.idata)``.
    """

    def __init__(
        self,
        net: Network,
        idata: Any,
        terms: Sequence[Term],
        method: str,
        noise: Mapping[str, float] | None = None,
    ) -> None:
        self.net = copy.deepcopy(net)
        self.idata = idata
        self.method = method
        self.noise = dict(noise or {})
        self._kinds = [(term.name, term.distribution is not None) for term in terms]
        draws = idata["posterior"]
        names = {str(term.spread_name) for term in terms if term.spread_name}
        self._spreads = sorted(names.intersection(map(str, draws)))
        self._linear = False
        self.__setstate__({})

    def linearize(self, best: Mapping[str, Any]) -> None:
        """Predict by a network that is linear in its parameters, about the best ones.

        That is the model of which Laplace's method with the generalized
        Gauss-Newton matrix finds the posterior; the network itself is another
        where its draws are far from the best parameters.

        References
        ----------
        Immer, Korzepa & Bauer 2021, "Improving predictions of Bayesian neural
        nets via local linearization".
        """
        for name, value in best.items():
            self.net.find(name).set_value(value)
        self._linear = True
        self._functions.clear()

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        # Functions have locks, and parameters are those of the network that is made again.
        del kept["_functions"], kept["_random"]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        draws = self.idata["posterior"]
        self._random = [p for p in self.net.params if p.name in draws]
        self._functions: dict[Any, Any] = {}

    def __repr__(self) -> str:
        sizes = self.idata["posterior"].sizes
        return (
            f"<posterior by {self.method}: {sizes['chain']} chains of {sizes['draw']} draws of "
            f"{', '.join(str(p.name) for p in self._random)}>"
        )

    # ---- prediction --------------------------------------------------------------

    def predict(
        self,
        x: Any,
        what: Literal["mean", "observed"] = "mean",
        bands: Sequence[float] | None = None,
        *,
        output: str | None = None,
        rng: Any = None,
    ) -> xr.DataArray:
        """Predict, once with each draw.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs, as for ``net.predict``; of series of different lengths a list.
        what : {'mean', 'observed'}
            The network's output (for poisson, the rate; for a classifier, the
            probabilities), which differs between draws as far as parameters
            are not known; or new targets drawn from its likelihood, which
            have the noise of single observations besides.
        bands : sequence of float, optional
            Quantiles over all draws, such as ``(.05, .95)``, instead of the
            draws themselves.
        output : str, optional
            Name of an output; by default the network's. Of others only
            ``'mean'``, unless a loss is about them.
        rng : int or Generator, optional
            Source of what is drawn; by default fresh.

        Returns
        -------
        xarray.DataArray
            Dimensions ``chain``, ``draw`` (or ``quantile``), ``example`` and
            those of the output, ``'out:0'`` and so on. 0 at steps that do not
            exist.

        Raises
        ------
        ConfigurationError
            If an argument has no meaning, or a loss has no distribution.
        DataError
            If ``x`` does not fit the network.
        """
        if what not in WHAT:
            raise unknown("what=", what, WHAT)
        levels = None if bands is None else _levels(bands)
        name = self.net.output_name if output is None else output_name(output)
        self.net.graph.shape(name)
        empty, x = with_a_row(x)
        seen, x = _taking(self.net, x)
        function = self._function(seen, what, name)
        seed = _rng.as_seed(rng) if what == "observed" else None
        found = self._over_draws(function, _batches(seen, x), seed)[:, :, : 0 if empty else None]
        own = name.partition(":")[0] if name.endswith(":out") else name
        dims = ["example", *(f"{own}:{i}" for i in range(found.ndim - 3))]
        if levels is None:
            return xr.DataArray(found, dims=["chain", "draw", *dims], name=what)
        quantiles = np.quantile(found, levels, axis=(0, 1))
        coords = {"quantile": levels}
        return xr.DataArray(quantiles, coords, dims=["quantile", *dims], name=what)

    def interval(
        self, x: Any, probability: float = 0.9, what: Any = "observed", **options: Any
    ) -> xr.DataArray:
        """Get the central interval that holds a share of the posterior.

        Parameters
        ----------
        x : array_like, list or dict
            Inputs.
        probability : float
            The share, in (0, 1).
        what, **options
            As for `predict`; by default intervals of new observations.

        Returns
        -------
        xarray.DataArray
            As `predict` gives it with two quantiles.
        """
        share = as_number(probability, "inner")
        if share is None:
            raise ConfigurationError(f"probability={probability!r} is not a number in (0, 1)")
        return self.predict(x, what, ((1 - share) / 2, (1 + share) / 2), **options)

    def predict_proba(self, x: Any) -> Array:
        """Get the probabilities of classes, the mean over all draws.

        Returns
        -------
        ndarray
            For each example, those of the classes; for decisions, the output's.

        Raises
        ------
        ConfigurationError
            If the network has no loss over classes or decisions.
        """
        loss = self._loss_of(self.net.output_name)
        if not isinstance(loss, (losses.Classification, losses.BinaryCrossEntropy)):
            raise ConfigurationError(
                "predict_proba is for losses over classes and decisions; "
                f"the network has {'no loss' if loss is None else loss.name}"
            )
        return np.asarray(self.predict(x).mean(("chain", "draw")).values)

    def log_likelihood(self, data: Any) -> xr.Dataset:
        """Get the log-likelihood of each example under each draw.

        It becomes the group ``log_likelihood`` of `idata`, from which
        ``arviz.loo(posterior.idata)`` compares models. As in the model,
        weights multiply it, those of entries and that of the loss.

        Parameters
        ----------
        data : list or dict of array_like
            As for ``net.train``.

        Returns
        -------
        xarray.Dataset
            A variable for each loss: chain, draw, example.
        """
        seen, arrays = arrays_of(self.net, data)
        values = [arrays[v.name] for v in seen.variables]
        rows = [tuple(a[part] for a in values) for part in chunks(len(values[0]), BATCH_SIZE)]
        found = {}
        for term in self._terms(seen, arrays):
            key = ("log_likelihood", term.name, term.loss.weight, _names(seen))
            if key not in self._functions:
                self._functions[key] = self._compile(seen, pointwise(term), seen.variables)
            densities = self._over_draws(self._functions[key], rows)
            found[term.name] = ("chain", "draw", "example"), densities
        dataset = xr.Dataset(found)
        self.idata["log_likelihood"] = xr.DataTree(dataset)
        return dataset

    # ---- functions of inputs and parameters -----------------------------------------

    def _loss_of(self, name: str) -> Any:
        return next((loss for loss in self.net.losses if loss.output_name == name), None)

    def _terms(self, net: Network, arrays: Mapping[str, Any]) -> list[Term]:
        """Get the likelihoods, with a distribution where they had one when they were fitted."""
        found = terms_of(net, arrays)
        if not self._kinds:
            raise ConfigurationError(
                "the posterior is of a likelihood= of your own, of which it knows no distribution; "
                "the network's outputs can be predicted: what='mean'"
            )
        for term, (_, distributed) in zip(found, self._kinds, strict=True):
            if not distributed:
                term.distribution = None
        return found

    def _function(self, net: Network, what: str, name: str) -> Function:
        """Get the function that predicts, from the inputs of a view of the network, and draws."""
        key = (what, name, _names(net))
        if key not in self._functions:
            make = self._mean(name) if what == "mean" else self._observed(net, name)
            self._functions[key] = self._compile(net, make, net.inputs)
        return self._functions[key]

    def _mean(self, name: str) -> Make:
        loss = self._loss_of(name)

        def mean(outputs: Any, _: Any) -> Any:
            found = outputs[name]
            return found if loss is None else existing(loss.values(found), outputs, name)

        return mean

    def _observed(self, net: Network, name: str) -> Make:
        # A distribution needs to know only what kind of target it is about.
        empty = {f.name: np.zeros((1,), f.dtype) for f in net.fields}
        term = next((t for t in self._terms(net, empty) if t.loss.output_name == name), None)
        if term is None:
            raise ConfigurationError(f"no loss is about the output {name!r}, so none is observed")

        def observed(outputs: Any, spreads: Mapping[str, Any]) -> Any:
            raw, link = term.loss.scores(outputs)
            kind, arguments = term.arguments(link(raw), spreads.get(str(term.spread_name)))
            return existing(kind.dist(**arguments), outputs, name)

        return observed

    def _compile(self, net: Network, make: Make, inputs: Sequence[Any]) -> Function:
        """Compile an expression of outputs and spreads, as a function of a draw and a batch."""
        draws = self.idata["posterior"]
        with building(net.dtype):
            arguments = {p: p.type(p.name) for p in self._random}
            spreads = {
                name: pt.tensor(name, dtype=net.dtype, shape=(None,) * (draws[name].ndim - 2))
                for name in self._spreads
            }
            known = {name: pt.constant(np.float64(value)) for name, value in self.noise.items()}
            outputs, replace = expressions(net, {} if self._linear else arguments)
            [found] = replace([make(outputs, {**spreads, **known})])
            if self._linear:
                found = linearized(found, raw_outputs(net, outputs), arguments)
            return Function(inputs, {**_named(arguments), **spreads}, found, mode(net.mode))

    def _over_draws(
        self, function: Function, batches: Sequence[Any], seed: int | None = None
    ) -> Array:
        """Call a function with each draw, and put the results together."""
        draws = self.idata["posterior"]
        sizes = draws.sizes["chain"], draws.sizes["draw"]
        values = []
        for name, dtype in function.types.items():
            value = draws[name].transpose("chain", "draw", ...).values
            values.append(np.ascontiguousarray(value.reshape(-1, *value.shape[2:]), dtype))
        found = function.over(values, batches, seed)
        return found.reshape(*sizes, *found.shape[1:])

    # ---- files --------------------------------------------------------------------

    def save(self, path: Any) -> None:
        """Write `idata` with all its groups, and the network, to one file, without pickle.

        Parameters
        ----------
        path : str or path
            Its name; by custom it ends in ``.safetensors``. It is written
            atomically.

        Raises
        ------
        FileError
            If it cannot be written, or `idata` holds what only a pickle does.
        """
        files.write(self, path)

    @classmethod
    def load(cls, path: Any) -> Posterior:
        """Read a posterior that `save` wrote.

        Raises
        ------
        FileError
            If there is no such file, or it is none of a posterior.
        """
        return files.read(cls, path)


def _taking(net: Network, x: Any) -> tuple[Network, Any]:
    """Get the network that takes inputs, for series of different lengths a view, and these."""
    return net._inputs(x) if hasattr(net, "_inputs") else (net, x)


def _names(net: Network) -> tuple[str, ...]:
    return tuple(str(v.name) for v in net.inputs)


def _batches(net: Network, x: Any) -> list[tuple[Any, ...]]:
    """Get inputs as compiled functions take them, some rows at a time."""
    fields = [f for f in net.fields if f.role == "input"]
    arrays = prepare(fields, x, "x")
    check = net.sizes(fields)
    if check is not None:
        check([array.shape[1:] for array in arrays], "x")
    return [
        tuple(gather(f, a, part, "x") for f, a in zip(fields, arrays, strict=True))
        for part in chunks(len(arrays[0]), BATCH_SIZE)
    ]


def _named(variables: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(p.name): variable for p, variable in variables.items()}


def _levels(bands: Any) -> list[float]:
    found = [as_number(level, "unit") for level in np.atleast_1d(np.asarray(bands, dtype=object))]
    if not found or None in found:
        raise ConfigurationError(f"bands={bands!r} are not quantiles in [0, 1]")
    return [level for level in found if level is not None]
