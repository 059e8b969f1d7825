"""The linkers agree: the same seed gives the same training, to rounding."""

import numpy as np
import pytest
from linker_cases import EVERY

import theanets

# One network for all, since each new kind of operation costs seconds to compile.
TRAIN = dict(
    algo="adam",
    epochs=3,
    weight_l2=1e-3,
    hidden_dropout=0.2,
    input_noise=0.05,
    learning_rate=0.01,
)


def trained(mode, data):
    chance = [dict(form="dropout", rate=0.2), dict(form="noise", std=0.1)]
    net = theanets.Classifier([6, (8, "tanh"), *chance, 3], weighted=True, rng=5, mode=mode)
    net.add_loss("hinge", weight=0.5)
    net.train(data, **TRAIN)
    return net


@pytest.mark.linker
@pytest.mark.parametrize("mode", EVERY)
def test_same_training_as_without_compilation(mode, rng):
    x = rng.normal(size=(96, 6))
    y = rng.integers(3, size=96)
    data = [x, y, rng.integers(3, size=96)]
    reference = trained("FAST_COMPILE", data)
    net = trained(mode, data)
    for ours, theirs in zip(net.params, reference.params):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(net.predict_proba(x), reference.predict_proba(x), atol=1e-4)
    got, wanted = net.evaluate(data), reference.evaluate(data)
    assert got == pytest.approx(wanted, rel=1e-3)
    assert net.score(x, y) == reference.score(x, y)
    # And again, bit for bit.
    again = trained(mode, data)
    for ours, theirs in zip(again.params, net.params):
        assert (ours.get_value() == theirs.get_value()).all()
