"""Functions of PyTorch that are called in a loop in which arrays stay on a device."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from theanets import backends, recurrent

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]


@pytest.fixture(params=[False, True])
def far(request, monkeypatch):
    """Let the CPU stand for another device, or not."""
    from theanets.linkers import torch_function

    monkeypatch.setattr(torch_function, "is_far", lambda device: request.param)


@pytest.mark.parametrize("many", [0, 1, 2, 3])
def test_each_result_is_given_in_its_place(many, far):
    x, w = pt.vector("x", dtype="float32"), pytensor.shared(np.ones(2, "float32"), "w")
    n = pytensor.shared(np.int64(1), "n")
    outputs = [x + w, x * w + 1, (x * w).sum()][:many]
    function = backends.function([x], outputs, updates={w: w * 2 + x, n: n + 1}, mode="PYTORCH")
    weights, value = np.ones(2), np.array([0.5, -3.0])
    with backends.repeated(function) as call:
        for _ in range(3):
            found = call(value.astype("float32"))
            wanted = [value + weights, value * weights + 1, (value * weights).sum()][:many]
            assert len(found) == many
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-6)
            weights = weights * 2 + value
    assert type(w.get_value(borrow=True)) is np.ndarray
    np.testing.assert_allclose(w.get_value(), weights, rtol=1e-6)
    assert n.get_value() == 4


def test_one_result_is_given_by_itself(far):
    x = pt.vector("x", dtype="float32")
    with backends.repeated(backends.function([x], x * 2, mode="PYTORCH")) as call:
        np.testing.assert_array_equal(call(np.ones(3, "float32")), np.full(3, 2))


def test_series_go_on_with_all_that_a_layer_keeps(far, rng):
    """A step gives an output and two states, all of one shape."""
    seed, found = rng.normal(size=(2, 4, 3)).astype("float32"), []
    for mode in ("PYTORCH", "FAST_COMPILE"):
        net = recurrent.Predictor([3, (3, "lstm"), (3, "lstm"), 3], rng=1, mode=mode)
        found.append(net.generate(seed, 5))
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)
