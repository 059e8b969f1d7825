"""Posteriors by training: ensembles, SWAG, Langevin dynamics and dropout."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import join_nonshared_inputs

from .. import names
from .. import rng as _rng
from ..callbacks import Callback, build
from ..errors import ConfigurationError
from ..network import Network
from ..options import as_number, whole_number
from ..training.setup import BATCH_SIZE

Array = npt.NDArray[Any]


def ensemble(
    net: Network, data: Any, chosen: Sequence[Any], *, seed: int, draws: int, **train: Any
) -> dict[str, Array]:
    """Train networks of the same build from different initial values; each is a draw.

    References
    ----------
    Lakshminarayanan, Pritzel & Blundell 2017, "Simple and scalable predictive
    uncertainty estimation using deep ensembles".
    """
    if {*chosen} != {*net.params}:
        raise ConfigurationError(
            "the members of an ensemble are trained as a whole; priors= must name all parameters"
        )
    members = []
    for i in range(draws):
        own = int(_rng.generator(seed, "member", i).integers(2**31))
        member = type(net).from_spec({**net.to_spec(), "seed": own})
        member.mode = net.mode
        member.train(data, **train)
        members.append(_values(member.params))
    return _stacked(members)


class _Average(Callback):
    """Moments of parameters, and how the last ones deviate from the mean.

    After each epoch, of the parameters then.
    """

    each_batch = False

    def __init__(self, params: Sequence[Any], rank: int) -> None:
        self.params, self.rank = params, rank
        self.count = 0
        self.mean: Array = np.zeros(())
        self.square: Array = np.zeros(())
        self.deviations: list[Array] = []

    def epoch(self, run: Any) -> None:
        flat = np.concatenate([np.ravel(p.get_value()).astype("float64") for p in self.params])
        self.count += 1
        self.mean = self.mean + (flat - self.mean) / self.count
        self.square = self.square + (flat**2 - self.square) / self.count
        self.deviations = [*self.deviations, flat - self.mean][-self.rank :]


def swag(
    net: Network,
    data: Any,
    chosen: Sequence[Any],
    *,
    rows: int,
    seed: int,
    draws: int,
    rank: int = 20,
    epochs: int = 40,
    algo: Any = "sgd",
    **train: Any,
) -> dict[str, Array]:
    r"""Go on training with a constant learning rate, and draw from the normal of its path.

    With the mean, the diagonal variances and ``rank`` deviations D of the
    parameters after each epoch: :math:`\bar\theta + \tfrac1{\sqrt2}
    \Sigma_{diag}^{1/2} z_1 + \tfrac1{\sqrt{2 (K - 1)}} D z_2`.

    References
    ----------
    Maddox et al. 2019, "A simple baseline for Bayesian uncertainty in deep
    learning".
    """
    rank = whole_number("rank", rank, 2)
    if (train.get("batch_size") or BATCH_SIZE) >= rows:
        warnings.warn(
            f"one batch holds all {rows} rows, so that gradients have no noise: the posterior of "
            "method='swag' is far too narrow; give a smaller batch_size=",
            stacklevel=3,
        )
    walker = copy.deepcopy(net)
    fixed = [str(p.name) for p in net.params if p not in chosen]
    params = [p for p, own in zip(walker.params, net.params, strict=True) if own in chosen]
    average = _Average(params, rank)
    callbacks = [*build(train.pop("callbacks", None)), average]
    if fixed:
        frozen = train.get("freeze")
        train["freeze"] = [*fixed, *([frozen] if isinstance(frozen, str) else frozen or ())]
    train["rng"] = int(_rng.generator(seed, "path").integers(2**31))
    walker.train(data, algo=algo, epochs=epochs, callbacks=callbacks, **train)
    if average.count < 2:
        raise ConfigurationError(f"epochs={epochs} are too few for method='swag'; it needs 2")
    generator = _rng.generator(seed, "swag")
    spread = np.sqrt(np.maximum(average.square - average.mean**2, 0) / 2)
    basis = np.stack(average.deviations) / np.sqrt(2 * (len(average.deviations) - 1))
    found = average.mean + spread * generator.normal(size=(draws, len(spread)))
    found += generator.normal(size=(draws, len(basis))) @ basis
    return _cut(found, chosen)


def sgld(
    model: pm.Model,
    *,
    seed: int,
    draws: int,
    tune: int = 1000,
    thin: int = 10,
    step_size: float = 1e-3,
    decay: float = 0.99,
    mode: Any = None,
) -> dict[str, Array]:
    r"""Draw by stochastic gradient Langevin dynamics, each direction scaled by its gradients.

    :math:`\theta \leftarrow \theta + \tfrac\epsilon2 G \nabla \log p(\theta
    | D) + \sqrt{\epsilon G} z` with :math:`G = 1 / (\lambda + \sqrt v)` and v
    a moving mean of squared gradients; the term for the change of G is left out,
    as is usual.

    References
    ----------
    Welling & Teh 2011, "Bayesian learning via stochastic gradient Langevin
    dynamics"; Li et al. 2016, "Preconditioned stochastic gradient Langevin
    dynamics".
    """
    for name, value in (("step_size", step_size), ("decay", decay)):
        if as_number(value, "positive" if name == "step_size" else "inner") is None:
            expected = "a positive number" if name == "step_size" else "a number in (0, 1)"
            raise ConfigurationError(f"{name}={value!r} is not {expected}")
    tune, thin = whole_number("tune", tune, 0), whole_number("thin", thin)
    with model:
        point = model.initial_point()
        [log], flat = join_nonshared_inputs(point, [model.logp()], model.value_vars)
        start = np.concatenate([np.ravel(point[v.name]) for v in model.value_vars])
        state = pytensor.shared(start.astype("float64"), "state")
        squares = pytensor.shared(np.zeros_like(start, "float64"), "squares")
        slope = pytensor.grad(log, flat)
        mean = decay * squares + (1 - decay) * pt.sqr(slope)
        scale = 1 / (1e-5 + pt.sqrt(mean))
        generator = _rng.shared_rng(_rng.generator(seed, "sgld"), "noise")
        after, noise = _rng.normal(generator, flat.shape, "float64")
        moved = flat + step_size / 2 * scale * slope + pt.sqrt(step_size * scale) * noise
        updates = {state: moved, squares: mean, generator: after}
        step = pm.compile(
            [], [], updates=updates, givens={flat: state}, random_seed=seed, mode=mode
        )
        outputs = [v for v in model.unobserved_value_vars if v.name in _kept(model)]
        [*back], own = join_nonshared_inputs(point, outputs, model.value_vars)
        read = pm.compile([own], back, mode=mode)
        found = []
        for i in range(tune + draws * thin):
            step()
            if i >= tune and (i - tune) % thin == thin - 1:
                found.append(read(state.get_value()))
    if not all(np.isfinite(value).all() for value in found[-1]):
        raise ConfigurationError(
            f"Langevin dynamics diverged: step_size={step_size} is too large; take a smaller one"
        )
    return {str(v.name): np.stack([one[i] for one in found])[None] for i, v in enumerate(outputs)}


def _kept(model: pm.Model) -> set[str]:
    return {str(v.name) for v in [*model.free_RVs, *model.deterministics]}


def dropout(
    net: Network,
    chosen: Sequence[Any],
    *,
    seed: int,
    draws: int,
    dropout: float = 0.5,
    params: Any = None,
) -> dict[str, Array]:
    """Draw weights whose inputs are dropped, as a network that was trained with dropout has them.

    Of convolutions, these are the single entries of their filters.

    References
    ----------
    Gal & Ghahramani 2016, "Dropout as a Bayesian approximation".
    """
    rate = as_number(dropout, "fraction")
    if not rate:
        raise ConfigurationError(f"dropout={dropout!r} is not a number in (0, 1)")
    weights = [p for p in chosen if p.ndim > 1]
    if params is None:
        # Of the hidden layers' outputs, and not of the inputs.
        first = [layer for layer in net.layers if _is_first(net, layer)]
        own = {p for layer in first for p in layer.params}
        weights = [p for p in weights if p not in own]
    else:
        known = [str(p.name) for p in weights]
        found = names.match_some("params", names.param_patterns(params), known)
        weights = [p for p in weights if p.name in found]
    if not weights:
        raise ConfigurationError("there are no weights of hidden outputs to drop; name params=")
    generator = _rng.generator(seed, "dropout")
    result = {}
    for p in chosen:
        value = p.get_value()
        if p in weights:
            kept = generator.random((draws, *value.shape[:-1], 1)) >= rate
            result[str(p.name)] = (value * kept / (1 - rate))[None]
        else:
            result[str(p.name)] = np.broadcast_to(value, (1, draws, *value.shape)).copy()
    return result


def _is_first(net: Network, layer: Any) -> bool:
    inputs = {v.name for v in net.inputs}
    return all(names.split_output(name)[0] in inputs for name in layer.input_names)


def _values(params: Sequence[Any]) -> dict[str, Array]:
    return {str(p.name): p.get_value() for p in params}


def _stacked(members: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([m[name] for m in members])[None] for name in members[0]}


def _cut(flat: Array, params: Sequence[Any]) -> dict[str, Array]:
    """Cut rows of numbers into parameters, a chain of draws of each."""
    found, start = {}, 0
    for p in params:
        value = p.get_value(borrow=True)
        part = flat[:, start : start + value.size].reshape(1, len(flat), *value.shape)
        found[str(p.name)] = part
        start += value.size
    return found
