"""Laplace's approximation: a normal distribution about the best parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor
import pytensor.tensor as pt
from scipy.optimize import minimize

from .. import backends, losses, objective
from ..errors import ConfigurationError, unknown
from ..network import Network
from ..options import as_number, flag
from ..process import building
from . import matrices
from . import priors as _priors
from .likelihoods import Term
from .models import terms_of

Array = npt.NDArray[Any]

STRUCTURES = ("full", "kron", "diag")
#: Parameters beyond which a full matrix is refused: 800 MB.
MOST_PARAMETERS = 10_000
#: Numbers that the derivatives of some examples at once may take: 32 MB.
ENTRIES = 4_000_000
#: Rounds of best parameters and evidence, each given the other.
ROUNDS = 5


@dataclass
class Laplace:
    """A normal approximation of a posterior.

    Attributes
    ----------
    best : dict of ndarray
        The best parameters by name, the mean of the distribution.
    draws : dict of ndarray
        Draws by name of parameter, a chain of them.
    noise : dict
        Standard deviations of the noise by name.
    precision : float
        What the precisions of all priors are multiplied by.
    log_evidence : float
        Logarithm of the marginal likelihood.
    """

    best: dict[str, Array]
    draws: dict[str, Array]
    noise: dict[str, float]
    precision: float
    log_evidence: float


def approximate(
    net: Network,
    arrays: Mapping[str, Any],
    priors: Any,
    noise: Any = None,
    *,
    params: Any = None,
    structure: str = "full",
    tune: bool = True,
    draws: int,
    generator: np.random.Generator,
) -> Laplace:
    r"""Approximate the posterior by a normal distribution, see `theanets.bayes.fit`.

    The precision is :math:`\sum_n J_n^T H_n J_n + \alpha T`: with J the
    derivatives of the outputs of an example with respect to the parameters,
    H the second derivatives of its error with respect to these outputs, T
    the precisions of the priors (the generalized Gauss-Newton matrix, as
    positive as a network's Hessian may not be). The factor alpha, and the
    noise where it is not known, maximize the evidence

    .. math:: \log p(D | \theta^*) + \log p(\theta^*) + \tfrac P2 \log 2 \pi
              - \tfrac12 \log \det (\sum_n J_n^T H_n J_n + \alpha T).

    With ``'kron'`` the matrix of each parameter is a Kronecker product of two
    with its trace: of the inputs' and of the outputs' sums of all J H J.

    References
    ----------
    MacKay 1992, "A practical Bayesian framework for backpropagation
    networks"; Daxberger et al. 2021, "Laplace redux"; Ren & Goldfarb 2021,
    "Tensor normal training" (the factors).
    """
    if structure not in STRUCTURES:
        raise unknown("structure=", structure, STRUCTURES)
    tune = flag("tune", tune)
    problem = _Problem(copy.deepcopy(net), arrays, priors, noise, structure, params)
    alpha = 1.0
    for _ in range(ROUNDS):
        problem.settle(alpha)
        eigen = problem.curvature()
        before = alpha, problem.sigma
        if not tune and not problem.open:
            break
        alpha, problem.sigma = problem.best(eigen, alpha, tune)
        if np.allclose(np.log(before), np.log((alpha, problem.sigma)), atol=1e-3):
            break
    else:
        problem.settle(alpha)
        eigen = problem.curvature()
    return Laplace(
        {str(p.name): p.get_value() for p in problem.params},
        problem.sample(eigen, alpha, draws, generator),
        dict.fromkeys(problem.spreads, float(problem.sigma)),
        float(alpha),
        problem.evidence(eigen, alpha, problem.sigma),
    )


class _Problem:
    """The functions that an approximation is computed from.

    Parameters are worked on in units of their priors: all have variance 1 / alpha there.
    """

    def __init__(
        self, net: Network, arrays: Mapping[str, Any], priors: Any, noise: Any, structure: str,
        params: Any = None,
    ) -> None:  # fmt: skip
        chosen = _priors.choose(net.params, priors, params)
        self.net, self.arrays, self.structure = net, arrays, structure
        self.params = list(chosen)
        self.scales = [_priors.deviation(p, prior) for p, prior in chosen.items()]
        self.values = [p.get_value() for p in self.params]
        self.size = sum(value.size for value in self.values)
        if structure == "full" and self.size > MOST_PARAMETERS:
            raise ConfigurationError(
                f"structure='full' is for up to {MOST_PARAMETERS} parameters, but priors name "
                f"{self.size}; take structure='kron' or 'diag', or priors of fewer parameters"
            )
        terms = terms_of(net, arrays)
        self.spreads = [str(term.spread_name) for term in terms if term.spread_name]
        known = None if noise is None else as_number(noise, "positive")
        if noise is not None and known is None:
            raise ConfigurationError(
                f"noise={noise!r} is not a positive number, as Laplace's method needs it"
            )
        if noise is not None and not self.spreads:
            raise ConfigurationError(
                f"noise={noise!r} is for mse; the network has no loss that needs it"
            )
        if len(self.spreads) > 1:
            raise ConfigurationError("Laplace's method is for one loss with noise of its own")
        self.open = bool(self.spreads) and known is None
        if self.open and len(terms) > 1:
            raise ConfigurationError(
                "Laplace's method finds the noise of a network with one loss; of several, give "
                "noise="
            )
        self.sigma = 1.0 if known is None else known
        self._compile(terms)

    def _compile(self, terms: Sequence[Term]) -> None:
        net = self.net
        with building(net.dtype):
            outputs = objective.build(net.graph, net.bound_losses(), (), training=False).outputs
            sigma = pt.scalar("sigma", dtype=net.dtype)
            logs, jacobians, hessians = [], [], []
            for term in terms:
                spread = sigma if term.spread_name else None
                log = term.log_density(outputs, spread).sum() * term.loss.weight
                logs.append(log)
                if isinstance(term.loss, losses.MeanAbsoluteError):
                    raise ConfigurationError(
                        "Laplace's method needs losses that are curved, which mae is not; take mse "
                        "or student_t"
                    )
                raw = term.loss.scores(outputs)[0]
                parts = list(raw) if isinstance(raw, tuple) else [raw]
                jacobian, hessian = self._derivatives(log, parts)
                jacobians.append(jacobian)
                hessians.append(hessian)
            total = sum(logs[1:], logs[0])
            given = [*net.variables, sigma]
            mode = net.mode
            self.log = backends.function(
                given, [total, *pytensor.grad(total, self.params)], dtype=net.dtype, mode=mode
            )
            self.derivatives = backends.function(
                given, [*jacobians, *hessians], dtype=net.dtype, mode=mode
            )
        self.terms = len(terms)

    def _derivatives(self, log: Any, parts: list[Any]) -> tuple[Any, Any]:
        """Get the derivatives of an example's outputs, and minus the second ones of its density."""
        entries = []
        for part in parts:
            sizes = part.type.shape[1:]
            if None in sizes:
                raise ConfigurationError(
                    "Laplace's method needs outputs of a fixed size, not those of series of any "
                    "length; take method='nuts', 'advi' or 'swag'"
                )
            entries += [part[(0, *index)] for index in np.ndindex(*sizes)]
        rows = [
            pt.concatenate(
                [
                    slope.ravel()
                    for slope in pytensor.grad(entry, self.params, disconnected_inputs="ignore")
                ]
            )
            for entry in entries
        ]
        first = pytensor.grad(log, parts, disconnected_inputs="ignore")
        slopes = [g[(0, *i)] for g in first for i in np.ndindex(*g.type.shape[1:])]
        seconds = []
        for slope in slopes:
            found = pytensor.grad(slope, parts, disconnected_inputs="ignore")
            seconds.append(pt.concatenate([g[0].ravel() for g in found]))
        return pt.stack(rows), -pt.stack(seconds)

    # ---- the best parameters ----------------------------------------------------------

    def _assign(self, flat: Array) -> None:
        for p, value in zip(self.params, self._split(flat), strict=True):
            p.set_value(value.astype(p.dtype))

    def _split(self, flat: Array) -> list[Array]:
        """Get parameters from one vector of all, which is in units of their priors."""
        found, start = [], 0
        for value, scale in zip(self.values, self.scales, strict=True):
            found.append(flat[start : start + value.size].reshape(value.shape) * scale)
            start += value.size
        return found

    @property
    def _data(self) -> list[Any]:
        return [self.arrays[v.name] for v in self.net.variables]

    def _number(self) -> Any:
        return np.asarray(self.sigma, dtype=self.net.dtype)

    def settle(self, alpha: float) -> None:
        """Move the parameters to where the posterior has its maximum."""
        data = self._data

        def minus(flat: Array) -> tuple[float, Array]:
            self._assign(flat)
            value, *slopes = self.log(*data, self._number())
            pairs = zip(slopes, self.scales, strict=True)
            slope = np.concatenate([np.ravel(g) * scale for g, scale in pairs])
            return float(alpha * flat @ flat / 2 - value), alpha * flat - slope

        pairs = zip(self.params, self.scales, strict=True)
        start = np.concatenate([np.ravel(p.get_value()) / scale for p, scale in pairs])
        found = minimize(
            minus, start.astype("float64"), jac=True, method="L-BFGS-B",
            options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-6},
        )  # fmt: skip
        self.best_values = found.x
        self._assign(found.x)
        self.log_likelihood = float(self.log(*data, self._number())[0])

    # ---- the curvature there ----------------------------------------------------------

    def curvature(self) -> list[tuple[Array, Any]]:
        """Get eigenvalues and eigenvectors of the data's precision, with noise of 1, by block."""
        sums: list[list[Any]] = []
        pairs = zip(self.values, self.scales, strict=True)
        scale = np.concatenate([np.full(value.size, scale) for value, scale in pairs])
        for jacobians, hessians in self._of_examples():
            # A density need not be concave in each output; its curvature then counts as 0.
            values, vectors = np.linalg.eigh((hessians + hessians.swapaxes(1, 2)) / 2)
            vectors *= np.sqrt(np.maximum(values, 0))[:, None]
            roots = vectors.swapaxes(1, 2) @ (jacobians * scale)
            parts = self._parts(roots.reshape(-1, self.size))
            if not sums:
                sums = parts
                continue
            for block, more in zip(sums, parts, strict=True):
                for matrix, one in zip(block, more, strict=True):
                    matrix += one
        if self.structure == "full":
            return [matrices.eigen(sums[0][0])]
        if self.structure == "diag":
            return [(diagonal, None) for [diagonal] in sums]
        return [matrices.kronecker(*block) for block in sums]

    def _of_examples(self) -> Iterator[tuple[Array, Array]]:
        """Get what `_derivatives` says of each example, many at once, with noise of 1.

        Yields
        ------
        (jacobians, hessians) : ndarrays
            (examples, outputs, parameters) and (examples, outputs, outputs).
        """
        data, sigma = self._data, self._number()
        unit = self.sigma**2 if self.spreads else 1.0
        # The call for an example takes far less than what its derivatives are put into.
        with backends.repeated(self.derivatives) as call:
            start, rows = 0, len(data[0])
            while start < rows:
                found = [call(*(array[start : start + 1] for array in data), sigma)]
                entries = sum(jacobian.size for jacobian in found[0][: self.terms])
                stop = min(rows, start + max(1, ENTRIES // entries))
                for row in range(start + 1, stop):
                    found.append(call(*(array[row : row + 1] for array in data), sigma))
                stacked = [np.stack(parts) for parts in zip(*found, strict=True)]
                for i in range(self.terms):
                    yield stacked[i], unit * stacked[self.terms + i]
                start = stop

    def _parts(self, roots: Array) -> list[list[Array]]:
        """Get what rows of roots of examples' matrices add to the sums of each block."""
        if self.structure == "full":
            return [[roots.T @ roots]]
        found, start = [], 0
        for value in self.values:
            own = roots[:, start : start + value.size]
            start += value.size
            if self.structure == "diag":
                found.append([(own**2).sum(axis=0)])
                continue
            matrix = own.reshape(len(own), *matrices.as_matrix(value.shape))
            found.append([np.tensordot(matrix, matrix, ([0, i], [0, i])) for i in (2, 1)])
        return found

    # ---- evidence and draws -------------------------------------------------------------

    def _noise_terms(self, sigma: float) -> tuple[float, float]:
        """Get the log-likelihood at another noise, and the factor of the data's precision."""
        if not self.spreads:
            return self.log_likelihood, 1.0
        if sigma == self.sigma:
            return self.log_likelihood, sigma**-2
        # Of a normal density: n and the sum of squares follow from two values of sigma.
        if getattr(self, "_at", None) is not self.best_values:
            number = np.asarray(2 * self.sigma, dtype=self.net.dtype)
            doubled = float(self.log(*self._data, number)[0])
            one = 1 / (2 * self.sigma**2)
            matrix = [[-np.log(self.sigma), -one], [-np.log(2 * self.sigma), -one / 4]]
            constant = np.log(2 * np.pi) / 2
            rows = np.array(matrix) - [[constant, 0], [constant, 0]]
            self._count, self._squares = np.linalg.solve(rows, [self.log_likelihood, doubled])
            self._at = self.best_values
        found = -self._count * (np.log(sigma) + np.log(2 * np.pi) / 2)
        return float(found - self._squares / (2 * sigma**2)), sigma**-2

    def evidence(self, eigen: list[tuple[Array, Any]], alpha: float, sigma: float) -> float:
        """Get the logarithm of the marginal likelihood."""
        log, factor = self._noise_terms(sigma)
        prior = (self.size * np.log(alpha) - alpha * self.best_values @ self.best_values) / 2
        log_det = sum(float(np.log(factor * values + alpha).sum()) for values, _ in eigen)
        return float(log + prior - log_det / 2)

    def best(self, eigen: list[tuple[Array, Any]], alpha: float, tune: bool) -> tuple[float, float]:
        """Get the factor of the priors' precision and the noise with the greatest evidence."""

        def numbers(free: Array) -> tuple[float, float]:
            values = iter(np.exp(np.clip(free, -30, 30)))
            return next(values) if tune else alpha, next(values) if self.open else self.sigma

        start = np.log([value for value, free in ((alpha, tune), (self.sigma, self.open)) if free])
        found = minimize(
            lambda free: -self.evidence(eigen, *numbers(free)), start, method="Nelder-Mead",
            options={"xatol": 1e-5, "fatol": 1e-8, "maxiter": 2000},
        )  # fmt: skip
        return numbers(found.x)

    def sample(
        self,
        eigen: list[tuple[Array, Any]],
        alpha: float,
        draws: int,
        generator: np.random.Generator,
    ) -> dict[str, Array]:
        """Draw parameters."""
        factor = self.sigma**-2 if self.spreads else 1.0
        parts = []
        for values, vectors in eigen:
            found = generator.normal(size=(draws, len(values))) / np.sqrt(factor * values + alpha)
            if isinstance(vectors, tuple):
                left, right = vectors
                matrix = found.reshape(draws, len(left), len(right))
                found = (left @ matrix @ right.T).reshape(draws, -1)
            elif vectors is not None:
                found = found @ vectors.T
            parts.append(found)
        every = self.best_values + np.concatenate(parts, axis=1)
        lists = [self._split(flat) for flat in every]
        return {
            str(p.name): np.stack([split[i] for split in lists])[None]
            for i, p in enumerate(self.params)
        }
