"""Some losses where they are rewritten and compiled: values and gradients as where they are not."""

import numpy as np
import pytensor
import pytest
from loss_cases import CASES, as_tuple
from pytensor.tensor import TensorType

from theanets import backends

# One function of few losses, with every piece that the formulas are made of: compiling is what
# takes time.
CHOSEN = [
    next(case for case in CASES if case.form == form and options.items() <= case.options.items())
    for form, options in {
        "xe": {"class_weight": [1, 2, 3, 0.5]},
        "focal": {"logits": True},
        "hinge": {},
        "bce_logits": {"pos_weight": [1, 2, 3]},
        "poisson": {},
        "gll": {"log_covar": True, "covar_eps": 0.1},
    }.items()
]


def sample(cases):
    """Get arrays for each loss: outputs, target, weights of 0, 1 and 2."""
    rng = np.random.default_rng(0)
    found = []
    for case in cases:
        output, target = case.sample(rng)
        weights = rng.integers(0, 3, size=target.shape).astype(float)
        target = target.astype("int32") if target.dtype.kind == "i" else target
        found.append([*as_tuple(output), target, weights])
    return found


def compiled(cases, arrays, mode):
    """Compile values and gradients of several losses to one function."""
    variables, results = [], []
    with pytensor.config.change_flags(floatX="float64"):
        for case, values in zip(cases, arrays):
            mine = [TensorType(str(v.dtype), (None, *v.shape[1:]))() for v in values]
            loss = case.build()
            loss.bind(*mine[-2:])
            value = loss(dict(zip(loss.array_names, mine)))
            results += [value, *pytensor.grad(value, mine[:-2])]
            variables += mine
    return backends.function(variables, results, mode=mode, dtype="float64")


@pytest.mark.linker
def test_numba_agrees():
    arrays = sample(CHOSEN)
    function, plain = (compiled(CHOSEN, arrays, mode) for mode in ("NUMBA", "FAST_COMPILE"))
    # Also where only a stable formula is finite, which a rewrite could make less stable.
    for scale in (1.0, 1e30):
        flat = [scale * v if v is values[0] else v for values in arrays for v in values]
        found, expected = function(*flat), plain(*flat)
        for mine, other in zip(found, expected, strict=True):
            assert np.isfinite(other).all()
            np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)
