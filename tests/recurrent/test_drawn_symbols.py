"""Sequences of labels drawn by networks whose input is one of symbols."""

import numpy as np
import pytest

import theanets
from theanets import recurrent

OPTIONS = dict(rng=1, dtype="float64", mode="FAST_COMPILE")


def network(classes=5, outputs=5, lengths=False):
    symbols = dict(form="symbols", shape=(None,), classes=classes)
    holder = [dict(form="lengths", name="n")] if lengths else []
    block = dict(form="transformer", heads=2, hidden=4, causal=True)
    return recurrent.Classifier(
        [symbols, *holder, (4, "embedding"), "position", block, outputs], **OPTIONS
    )


@pytest.mark.parametrize("lengths", [False, True])
def test_each_label_is_that_of_the_whole_series(lengths):
    net = network(lengths=lengths)
    seed = np.array([[3, 1, 4], [2, 0, 2]])
    found = np.array(list(net.predict_sequence(seed, 5, streams=2, greedy=True))).T
    for i, row in enumerate(found):
        series = list(seed[i])
        for label in row:
            given = [series] if not lengths else {"in": [series], "n": [len(series)]}
            assert net.predict(given)[0, -1] == label
            series.append(label)


def test_labels_that_the_input_does_not_take_are_refused():
    with pytest.raises(theanets.ConfigurationError, match=r"has 6 classes.* 'in' takes 5"):
        network(5, 6).predict_sequence([1], 3)
    with pytest.raises(theanets.DataError, match=r"all in \[0, 5\)"):
        network().predict_sequence([5], 3)
    assert len(list(network(6, 5).predict_sequence([5], 3, rng=0))) == 3
