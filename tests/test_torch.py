"""PyTorch computes the same as NumPy, where PyTensor's linker for it can."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from test_recurrent_core import Case, close

import theanets

pytest.importorskip("torch")

pytestmark = [
    pytest.mark.linker,
    # Of PyTorch, about itself and about constants of PyTensor.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]


def test_a_network(rng):
    x, y = rng.normal(size=(20, 6)), rng.integers(3, size=20)
    nets = []
    for mode in ("PYTORCH", "FAST_COMPILE"):
        net = theanets.Classifier([6, (5, "tanh"), 3], rng=3, mode=mode)
        net.train([x, y], algo="rmsprop", learning_rate=0.01, epochs=2, batch_size=8)
        nets.append(net)
    for ours, theirs in zip(*(net.params for net in nets)):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(*(net.predict_proba(x) for net in nets), atol=1e-5)
    assert nets[0].evaluate([x, y]) == pytest.approx(nets[1].evaluate([x, y]), rel=1e-4)


def test_a_recurrence():
    """Our operations are done by NumPy."""
    from theanets.ops import torch_setup  # noqa: F401

    case = Case("lstm")
    outputs, final = case.fast()
    results = [*outputs.values(), *final]
    expected = pytensor.function(case.inputs, results, mode="FAST_COMPILE")(*case.arguments)
    close(pytensor.function(case.inputs, results, mode="PYTORCH")(*case.arguments), expected, 1e-12)


def test_comparison_is_entry_by_entry():
    from theanets.ops import torch_setup  # noqa: F401

    x = pt.lvector()
    found = pytensor.function([x], pt.eq(x, 2), mode="PYTORCH")(np.array([1, 2, 3]))
    assert found.tolist() == [False, True, False]
