"""Costs on every linker, draws and further updates included."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets

pytestmark = [
    pytest.mark.linker,
    # Of PyTorch, about itself and about arrays of PyTensor.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]


def run(mode):
    """Train a line with noisy steps, and count these; get what the parameters were each epoch."""
    x = pt.vector("x", dtype="float32")
    a, b = (pytensor.shared(np.zeros((), "float32"), name) for name in "ab")
    count = pytensor.shared(np.zeros((), "int64"), "count")
    noise = pt.random.shared_rng(np.random.default_rng(2), name="noise")
    following, draws = noise.normal(size=x.shape, dtype="float32")
    cost = pt.sqr(a * x + b - 3 * x - 1 - np.float32(0.1) * draws).mean()
    points = np.linspace(-1, 1, 32)
    found = theanets.minimize(
        cost,
        inputs=[x],
        train=points,
        epochs=100,
        patience=None,
        algo="sgd",
        learning_rate=0.2,
        updates={noise: following, count: count + 1},
        monitors={"a": a, "b": b},
        rng=1,
        mode=mode,
    )
    assert count.get_value() == found.history.rows[found.history.best_epoch - 1]["updates"]
    return [[row["valid_a"], row["valid_b"], row["train_loss"]] for row in found.history.rows]


@pytest.fixture(scope="module")
def expected():
    return run("FAST_COMPILE")


@pytest.mark.parametrize("mode", ["NUMBA", "CVM", "JAX", "PYTORCH"])
def test_every_linker_takes_the_same_steps(mode, expected):
    if mode == "JAX":
        pytest.importorskip("jax")
    if mode == "PYTORCH":
        torch = pytest.importorskip("torch")
        with torch.compiler.set_stance("force_eager"):
            found = run(mode)
    else:
        found = run(mode)
    np.testing.assert_allclose(found[-1], [3, 1, 0.01], atol=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
