"""Series of symbols: without steps, without rows, and padded by integers that are no symbols."""

import numpy as np
import pytest

from theanets import DataError, recurrent

MODE = "FAST_COMPILE"
SYMBOLS = dict(form="symbols", shape=(None,), classes=9)
TEXTS = [[1, 2], [], [8]]


def network(**kwargs):
    layers = [SYMBOLS, (4, "embedding"), (3, "gru"), "pool_time", 2]
    return recurrent.Classifier(layers, rng=1, mode=MODE, **kwargs)


def test_a_list_without_steps_is_a_series_of_any_type():
    net = network()
    found = net.predict_proba(TEXTS)
    arrays = [np.array(one, int) for one in TEXTS]
    assert np.array_equal(found, net.predict_proba(arrays))
    assert np.allclose(found[0], net.predict_proba([[1, 2]])[0], atol=1e-6)
    net.train([TEXTS, [0, 1, 1]], epochs=1, batch_size=3)
    padded, lengths = recurrent.pad(TEXTS)
    assert padded.dtype.kind == "i" and list(lengths) == [2, 0, 1]
    assert recurrent.pad([[], []])[0].shape == (2, 0)


@pytest.mark.parametrize("forms", [np.zeros((0, 3), int), {"in": np.zeros((0, 3), "int8")}])
def test_no_rows_of_symbols_are_none_of_predictions(forms):
    net = network()
    assert net.predict(forms).shape == (0,)
    assert net.predict_proba(forms).shape == (0, 2)
    layers = [SYMBOLS, (4, "embedding"), dict(form="gru", size=3, name="memory"), 2]
    found, state = recurrent.Classifier(layers, mode=MODE).predict(forms, return_state=True)
    assert found.shape == (0, 3) and state["memory"]["h"].shape == (0, 3)


@pytest.mark.parametrize("filler", [-1, 9, -100, 2**40])
def test_what_symbols_are_padded_with_does_not_matter(filler):
    net = network()
    lengths = [2, 3]
    given = {"in": np.array([[1, 2, filler], [3, 4, 5]]), "lengths": lengths}
    kept = given["in"].copy()
    want = net.predict_proba([[1, 2], [3, 4, 5]])
    assert np.allclose(net.predict_proba(given), want, atol=1e-6)
    assert np.array_equal(given["in"], kept)
    as_lists = {"in": kept.tolist(), "lengths": lengths}
    assert np.allclose(net.predict_proba(as_lists), want, atol=1e-6)
    batch = {**given, "target": [0, 1]}
    assert np.isclose(
        net.evaluate(batch)["loss"], net.evaluate([[[1, 2], [3, 4, 5]], [0, 1]])["loss"]
    )
    net.train(batch, epochs=1)
    layer = dict(form="lengths", name="lengths")
    told = recurrent.Classifier([SYMBOLS, layer, (4, "embedding"), "pool_time", 2], mode=MODE)
    told.train(iter([batch]), batch, epochs=1)


def test_labels_of_steps_that_do_not_exist_may_be_anything():
    layer = dict(form="lengths", name="lengths")
    net = recurrent.Classifier([SYMBOLS, layer, (4, "embedding"), (3, "gru"), 2], rng=1, mode=MODE)
    given = {"in": np.array([[1, 2, -1], [3, 4, 5]]), "lengths": [2, 3]}
    one, other = (
        net.evaluate({**given, "target": np.array([[0, 1, pad], [1, 0, 1]])})["loss"]
        for pad in (-1, 0)
    )
    assert one == other


def test_symbols_that_exist_have_to_be_valid():
    net = network()
    for wrong in ([[1, -1, 0], [3, 4, 5]], [[1, 2, 9], [3, 9, 5]]):
        with pytest.raises(DataError, match="integers out of range"):
            net.predict({"in": np.array(wrong), "lengths": [2, 3]})
    with pytest.raises(DataError, match="integers out of range"):
        net.predict([[1, 9], [2]])
