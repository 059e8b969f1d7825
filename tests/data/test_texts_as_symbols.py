"""Batches of a text for networks whose input is one of symbols."""

import numpy as np
import pytest

from theanets import ConfigurationError, recurrent
from theanets.recurrent import Text

TEXT = Text("to be or not to be, that is the question. " * 5)


def network():
    symbols = dict(form="symbols", shape=(None,), classes=TEXT.classes)
    return recurrent.Classifier(
        [symbols, ("embedding", 4), dict(form="gru", size=5), TEXT.classes], mode="FAST_COMPILE"
    )


def test_windows():
    plain, found = (
        TEXT.classifier_batches(steps=7, batch_size=3, rng=1, symbols=symbols)()
        for symbols in (False, True)
    )
    assert found[0].shape == (3, 7) and found[0].dtype == np.int32
    np.testing.assert_array_equal(plain[0].argmax(-1), found[0])
    np.testing.assert_array_equal(plain[1], found[1])
    np.testing.assert_array_equal(found[0][:, 1:], found[1][:, :-1])


def test_pieces():
    every = zip(TEXT.contiguous_batches(7, 3), TEXT.contiguous_batches(7, 3, symbols=True))
    for plain, found in every:
        np.testing.assert_array_equal(plain[0].argmax(-1), found[0])
        np.testing.assert_array_equal(plain[1], found[1])


@pytest.mark.parametrize("make", [Text.classifier_batches, Text.contiguous_batches])
def test_networks_train_on_them(make):
    net = network()
    net.train(make(TEXT, 7, 3, symbols=True), algo="sgd", epochs=1, train_batches=2)
    with pytest.raises(ConfigurationError, match="symbols='yes'"):
        make(TEXT, 7, 3, symbols="yes")
