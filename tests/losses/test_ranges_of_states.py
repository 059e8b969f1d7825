"""What is said of a recurrence whose states are taken for probabilities."""

import warnings

import numpy as np
import pytest

from theanets import recurrent
from theanets.structure import ranges

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(4, 5, 3)), RNG.integers(0, 4, size=(4, 5))
FORMS = {
    "rnn": {"activation": "tanh"},
    "gru": {},
    "lstm": {},
    "mut1": {},
    "rrnn": {"activation": "tanh"},
    "mrnn": {"activation": "tanh", "factors": 2},
    "scrn": {"activation": "tanh"},
    "clockwork": {"activation": "tanh", "periods": [1, 2]},
    "bcrnn": {"activation": "tanh", "num_modules": 2},
    "bidirectional": {"worker": "gru", "activation": "tanh"},
}


def warned(*layers, model=recurrent.Classifier, **options):
    net = model([3, *layers], mode="FAST_COMPILE", dtype="float64", rng=1, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ranges.check(net.graph, net.bound_losses())
    return net, [str(one.message) for one in caught]


@pytest.mark.parametrize("form", FORMS)
def test_states_that_may_be_negative(form):
    net, [message] = warned(dict(form=form, size=4, **FORMS[form]))
    assert "gives numbers from -1 to 1" in message
    assert "give the loss logits=True or a further layer activation='softmax'" in message
    for param in net.params:
        param.set_value(RNG.normal(0, 3, size=param.get_value().shape))
    # As is said, there are such numbers.
    found = net.feed_forward(X)[net.output_name]
    assert -1 <= found.min() < -0.1 and found.max() <= 1
    assert not warned(dict(form=form, size=4, **FORMS[form]), (4, "softmax"))[1]


def test_what_is_not_bounded():
    _, [message] = warned(dict(form="rnn", size=4, activation="linear"))
    assert "numbers of any size" in message


@pytest.mark.parametrize("form", ["rnn", "gru"])
def test_states_between_0_and_1_are_not_warned_of(form):
    assert not warned(dict(form=form, size=4, activation="sigmoid"))[1]
    # Of a mixture that begins at 0, and of states that begin anywhere.
    given = [dict(size=4, form="rnn", name="a"), dict(form="pool_time", mode="mean", name="last")]
    layer = dict(form=form, size=4, inputs="in", activation="tanh", h_0="last")
    assert not warned(*given, layer)[1]


def test_a_step_of_the_users_is_not_known():
    cell = dict(form="cell", size=4, step=lambda cell, x, h: cell.activation(x), activation="tanh")
    assert not warned(cell)[1]


def test_train_says_it():
    net = recurrent.Classifier([3, dict(form="gru", size=4)], mode="FAST_COMPILE")
    with pytest.warns(UserWarning, match="'hid1:out'|'out:out'"):
        net.train([X, Y], epochs=1)
