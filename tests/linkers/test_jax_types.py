"""What JAX computes: nothing of a network of float32 is float64, and no array is a constant."""

import numpy as np
import pytest

import theanets

pytest.importorskip("jax")

from theanets.linkers import jax_fused

pytestmark = pytest.mark.linker

X = np.random.default_rng(0).normal(size=(20, 4, 4, 1)).astype("float32")
LABELS = np.random.default_rng(1).integers(3, size=20)
STEPS = np.random.default_rng(2).integers(3, size=(20, 4))
VALUES = X[:, :, :2, 0]

NETS = {
    "vectors": (
        theanets.Classifier,
        [4, 7, "batch_norm", (6, "softplus"), 3],
        [X[:, 0, :, 0], LABELS, np.ones(20)],
        {
            "hidden_dropout": 0.1,
            "input_noise": 0.1,
            "weight_l2": 0.1,
            "max_norm": 2.0,
            "max_global_norm": 1.0,
            "average": "ema",
            "learning_rate_schedule": lambda update, epoch: 1.0,
        },
    ),
    "series": (
        theanets.recurrent.Regressor,
        [4, (3, "lstm"), 2],
        [X[..., 0], VALUES],
        {"algo": "rmsprop", "hidden_l1": 0.1},
    ),
    "attended": (
        theanets.recurrent.Classifier,
        [4, dict(form="transformer", heads=2, hidden=8), "layer_norm", 3],
        [X[..., 0], STEPS],
        {"algo": "adadelta", "hidden_l2": 0.1},
    ),
    "symbols": (
        theanets.recurrent.Classifier,
        [dict(form="symbols", shape=(None,), classes=3), ("embedding", 4), 3],
        [STEPS, STEPS],
        {"algo": "sgd"},
    ),
    "images": (
        theanets.Classifier,
        [(4, 4, 1), dict(form="conv2", size=2, filter_size=(2, 2)), "pool2", "flat", 3],
        [X, LABELS],
        {"algo": "nag", "momentum": 0.5},
    ),
}


class Traced(Exception):
    """Ends a run before anything is compiled."""


def wide(jaxpr):
    """Find equations of float64, but for numbers that are constants, which XLA converts."""
    found = []
    for equation in jaxpr.eqns:
        for variable in (*equation.invars, *equation.outvars):
            kind = variable.aval
            constant = hasattr(variable, "val") or (kind.ndim == 0 and kind.weak_type)
            if getattr(kind, "dtype", None) == np.float64 and not constant:
                found.append(f"{equation.primitive} {kind.str_short()}")
        for value in equation.params.values():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                inner = getattr(one, "jaxpr", one)
                if hasattr(inner, "eqns"):
                    found += wide(inner)
    return found


@pytest.mark.parametrize(
    "name, dtype", [*((name, "float32") for name in NETS), ("vectors", "float64")]
)
def test_types_of_a_step(name, dtype, monkeypatch):
    kind, layers, data, options = NETS[name]
    weighted = len(data) == 3
    traced = []

    def part(self, carry, fixed, batch, rows, values):
        tables = self._filled(batch, rows, values, carry, fixed)
        found = self._loop.run.trace(
            carry, fixed, self._data, tables[0], tables[1:], 1, steps=batch[1], **self._kinds
        )
        traced.append(wide(found.jaxpr.jaxpr))
        # What NumPy would have computed with nothing but shapes is computed there.
        assert not any(c.dtype.kind == "f" and c.size > 1 for c in found.jaxpr.consts)
        raise Traced

    monkeypatch.setattr(jax_fused.Fused, "_part", part)
    monkeypatch.setattr(jax_fused, "worth_it", lambda function, resident: True)
    net = kind(layers, weighted=weighted, rng=1, dtype=dtype)
    with pytest.raises(Traced):
        net.train(data, batch_size=8, epochs=1, mode="JAX", progress=False, **options)
    (found,) = traced
    # In a network of float64 they are found.
    assert bool(found) == (dtype == "float64"), found
