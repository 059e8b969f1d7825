"""The best parameters so far: which are kept, which validations fail, what a file holds of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theanets.errors import DataError
from theanets.training.best import Best
from theanets.training.criterion import Criterion

ACC = Criterion("acc", "max")


def best(criterion=None, start=0.0):
    params = {"w": np.full(2, start, "float32"), "n": np.arange(2)}
    return Best(params) if criterion is None else Best(params, criterion)


def consider(found, valid, number, **options):
    """Consider a validation after so many epochs of two updates, with parameters of that number."""
    valid = {"loss": valid} if isinstance(valid, float) else valid
    return found.consider(
        valid,
        {"loss": 10.0 + number} if number else {},
        epoch=number,
        updates=2 * number,
        values=lambda: [np.full(2, number, "float32"), np.arange(2)],
        **options,
    )


@given(
    # Often equal, or nearly so.
    st.lists(
        st.floats(-10, 10) | st.sampled_from([1.0, 0.999, 0.99, -1.0, -1.001]),
        min_size=1,
        max_size=12,
    ),
    st.floats(0, 1),
)
def test_what_is_kept_and_what_fails_is_what_the_definition_says(losses, min_improvement):
    found = best()
    goal, failures = math.inf, 0
    for number, loss in enumerate(losses):
        assert consider(found, loss, number, min_improvement=min_improvement)
        success = number == 0 or loss < goal - abs(goal) * min_improvement
        goal, failures = (loss, 0) if success else (goal, failures + 1)
        first = losses.index(min(losses[: number + 1]))
        assert (found.loss, found.epoch) == (losses[first], first)
        assert found.value == losses[first]
        assert found.values[0].tolist() == [first, first]
        assert found.train == ({"loss": 10.0 + first} if first else {})
        assert found.valid == {"loss": losses[first]}
        assert found.failures == failures
        assert found.updates == 2 * number


def test_more_may_be_better():
    found = best(ACC)
    for number, acc in enumerate([0.5, 0.7, 0.6]):
        assert consider(found, {"loss": 1.0 + number, "acc": acc}, number)
    assert (found.value, found.figure, found.loss, found.epoch) == (0.7, -0.7, 2.0, 1)
    assert found.failures == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(loss):
    found = best()
    assert not consider(found, loss, 0)
    assert (found.figure, found.epoch, found.values[0].tolist()) == (math.inf, 0, [0, 0])
    assert consider(found, 3.0, 1)
    assert not consider(found, loss, 2)
    assert (found.loss, found.epoch, found.failures) == (3.0, 1, 0)
    assert found.updates == 4


def test_parameters_that_became_infinite_are_not_kept(caplog):
    found = best()
    assert consider(found, 3.0, 0)
    bad = [np.array([np.nan, 1], "float32"), np.arange(2)]
    assert not found.consider({"loss": 2.0}, {}, epoch=1, updates=1, values=lambda: bad)
    assert (found.loss, found.epoch) == (3.0, 0)
    assert caplog.messages == ["w became NaN or infinite"]
    # One that was infinite from the start is the user's.
    other = best(start=np.inf)
    assert other.consider({"loss": 2.0}, {}, epoch=1, updates=1, values=lambda: bad)
    assert other.loss == 2.0


def test_values_are_taken_only_of_the_best():
    found = best()
    assert consider(found, 1.0, 0)

    def never():
        raise AssertionError("copied for nothing")

    assert found.consider({"loss": 1.0}, {}, epoch=1, updates=1, values=never)
    assert found.failures == 1


def test_a_criterion_without_a_value():
    found = best(ACC)
    with pytest.raises(DataError, match="criterion='acc' is nan for these data"):
        consider(found, {"loss": 1.0, "acc": math.nan}, 0)
    found = best(ACC)
    assert consider(found, {"loss": 1.0, "acc": 0.5}, 0)
    # Later it is a validation that failed.
    assert consider(found, {"loss": 1.0, "acc": math.nan}, 1)
    assert (found.value, found.failures) == (0.5, 1)


def test_the_first_batch_stands_for_training_with_the_initial_parameters():
    found = best()
    consider(found, 1.0, 0)
    found.begin({"loss": 5.0})
    assert found.train == {"loss": 5.0}
    found.begin({"loss": 6.0})
    assert found.train == {"loss": 5.0}
    consider(found, 0.5, 1)
    found.begin({"loss": 7.0})
    assert found.train == {"loss": 11.0}


@given(st.lists(st.floats(-10, 10) | st.just(math.nan), min_size=1, max_size=8), st.data())
def test_what_was_restored_goes_on_the_same(losses, data):
    whole = best()
    cut = data.draw(st.integers(0, len(losses)))
    for number, loss in enumerate(losses[:cut]):
        consider(whole, loss, number)
    restored = best()
    restored.restore(json.loads(json.dumps(whole.state())), whole.values)
    for number, loss in enumerate(losses[cut:], start=cut):
        assert consider(whole, loss, number) == consider(restored, loss, number)
    assert json.dumps(whole.state()) == json.dumps(restored.state())
    assert all(np.array_equal(a, b) for a, b in zip(whole.values, restored.values, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"_best": "1"},
        {"_best": True},
        {"best_loss": None},
        {"_last_success": []},
        {"best_epoch": -1},
        {"best_epoch": 1.5},
        {"_failures": -1},
        {"_validated": -2},
        {"_best_train": {"err": 1.0}},
        {"_best_valid": {"loss": "a"}},
        {"_best_valid": [1.0]},
    ],
)
def test_a_state_that_is_none_changes_nothing(change):
    found = best()
    consider(found, 1.0, 0)
    before, values = found.state(), found.values
    (key,) = change
    with pytest.raises(ValueError, match=key):
        found.restore({**before, "best_loss": 9.0, "best_epoch": 7, **change}, [])
    if key != "_best":  # which the first files have not
        with pytest.raises(LookupError, match=key):
            found.restore({k: v for k, v in before.items() if k != key}, [])
    assert found.state() == before
    assert found.values is values
