"""What is wrong with one series of a list is said by its place in the list."""

import numpy as np
import pytest

from theanets import recurrent
from theanets.errors import DataError

LENGTHS = (5, 3, 5, 4)


def series(rng, width=3, lengths=LENGTHS):
    return [rng.normal(size=(n, width)) for n in lengths]


def replaced(values, place, value):
    return [*values[:place], value, *values[place + 1 :]]


def calls(net, x, y):
    return {
        "predict": lambda: net.predict(x),
        "state": lambda: net.predict(x, return_state=True),
        "evaluate": lambda: net.evaluate([x, y]),
        "train": lambda: net.train([x, y], epochs=1),
        "by_name": lambda: net.train({"in": x, "target": y}, epochs=1),
    }


@pytest.mark.parametrize("lengths", [LENGTHS, (5, 5, 5, 5)])
@pytest.mark.parametrize(
    "place, value, said",
    [
        (2, np.ones((5, 4)), r"has the shape \(5, 4\); expected \(time, 3\)"),
        (2, np.ones(5), r"has the shape \(5,\); expected \(time, 3\)"),
        (1, [[1, 2, 3], [1, 2]], "is a list, not one array"),
        (3, "abc", r"has the shape \(\)"),
        (3, None, r"has the shape \(\)"),
    ],
)
@pytest.mark.parametrize("call", ["predict", "state", "evaluate", "train", "by_name"])
def test_the_one_series_that_is_wrong_is_named(call, place, value, said, lengths, rng):
    net = recurrent.Regressor([3, (4, "gru"), 2])
    x = replaced(series(rng, lengths=lengths), place, value)
    y = series(rng, 2, lengths)
    with pytest.raises(DataError, match=rf"series {place} of 4 of 'in', counted from 0,.* {said}"):
        calls(net, x, y)[call]()


@pytest.mark.parametrize("width", [2, 4])
def test_all_series_may_be_of_a_wrong_width(width, rng):
    net = recurrent.Regressor([3, (4, "gru"), 2])
    for call in calls(net, series(rng, width), series(rng, 2)).values():
        with pytest.raises(DataError, match=rf"series 0 .*\(5, {width}\); expected \(time, 3\)"):
            call()


def test_so_is_that_of_targets_and_of_weights(rng):
    net = recurrent.Regressor([3, (4, "gru"), 2], weighted=True)
    x, y, w = series(rng), series(rng, 2), [np.ones((n, 2)) for n in LENGTHS]
    with pytest.raises(DataError, match=r"series 1 of 4 of 'target'.*\(3, 5\); .*\(time, 2\)"):
        net.train([x, replaced(y, 1, np.ones((3, 5))), w], epochs=1)
    with pytest.raises(DataError, match=r"series 3 of 4 of 'weights'.*\(4, 3\); .*\(time, 2\)"):
        net.train([x, y, replaced(w, 3, np.ones((4, 3)))], epochs=1)
    with pytest.raises(DataError, match=r"series 0 of 4 of 'target'.*\(5, 3\); .*\(time, 2\)"):
        net.train([x, x, w], epochs=1)


def test_an_entry_is_found_among_all_series_and_not_in_those_of_its_length(rng):
    net = recurrent.Regressor([3, (4, "gru"), 2])
    x = series(rng)
    x[2][1, 0] = np.nan
    with pytest.raises(DataError, match=r"is nan at \[2, 1, 0\]"):
        net.predict(x)


def test_a_single_variable_and_a_column_of_labels_may_be_either_way(rng):
    flat = [np.arange(n) % 2 for n in LENGTHS]
    columns = [values[:, None] for values in flat]
    regressor = recurrent.Regressor([1, (4, "gru"), 1])
    classifier = recurrent.Classifier([1, (4, "gru"), 2])
    for net in (regressor, classifier):
        assert net.evaluate([flat, flat]) == net.evaluate([columns, columns])
    with pytest.raises(DataError, match=r"series 1 of 4 of 'target'.*\(3, 2\); expected \(time,"):
        classifier.evaluate([flat, replaced(columns, 1, np.zeros((3, 2), int))])


def test_series_that_are_to_be_predicted_are_named_with_all_their_steps(rng):
    net = recurrent.Predictor([3, (4, "gru"), 3])
    bad = replaced(series(rng), 2, np.ones((5, 4)))
    for data in ([bad], bad):
        with pytest.raises(DataError, match=r"series 2 of 4 of 'in'.*\(5, 4\); expected \(time, 3"):
            net.train(data, epochs=1)
    with pytest.raises(DataError, match=r"series 2 of 4 of 'in'.*\(5, 4\)"):
        net.generate(bad, 2)
    with pytest.raises(DataError, match=r"series 1 of 4 of 'in'.*has the shape \(\)"):
        net.train([replaced(series(rng), 1, "abc")], epochs=1)


def test_so_they_are_where_they_are_put_together_or_cut(rng):
    bad = replaced(series(rng), 1, np.ones((3, 2)))
    with pytest.raises(DataError, match=r"series 1 of 4, counted.*\(3, 2\); expected \(time, 3\)"):
        recurrent.pad(bad)
    with pytest.raises(DataError, match="there are no series"):
        recurrent.pad([])
    with pytest.raises(DataError, match=r"series 1 of 4 of 'arrays\[1\]'.*\(3, 2\)"):
        recurrent.batches([series(rng), bad], steps=2)


def test_entries_of_plain_lists_are_named():
    net = recurrent.Regressor([3, (4, "gru"), 2])
    nested = [[[1, 2, 3], [1, 2, 3]], [[1, 2, 3], [1, 2]]]
    with pytest.raises(DataError, match=r"entry \[1, 1\] has the shape \(2,\), where .* \(3,\)"):
        net.predict(nested)
