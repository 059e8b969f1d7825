"""Forms of recurrent layers: rates that are drawn, sizes by shape, the cost of sequences."""

import numpy as np
import pytest
from recurrent_twins import FORMS, NIN, N, make, shaken

from theanets import layers, recurrent
from theanets.errors import ConfigurationError
from theanets.recurrent import streams


def rates(net, size):
    (found,) = (layer.rates for layer in net.layers if layer.name == "rec")
    assert len(found) == size
    return np.array(found)


@pytest.mark.parametrize("form, many", [("rrnn", 400), ("scrn", 300)])
@pytest.mark.parametrize("kind", ["uniform", "log"])
def test_rates_are_drawn_from_the_stream_of_the_layer(form, many, kind, rng):
    def built(seed):
        options = {"context_size": many} if form == "scrn" else {}
        rec = dict(form=form, name="rec", size=400 if form == "rrnn" else 4, rate=kind, **options)
        return recurrent.Regressor([NIN, rec, 2], rng=seed)

    np.random.seed(0)
    one = rates(built(1), many)
    np.random.seed(5)
    np.testing.assert_array_equal(one, rates(built(1), many))
    assert np.abs(one - rates(built(2), many)).max() > 0.1
    assert one.min() > 0 and one.max() < 1
    if kind == "uniform":
        np.testing.assert_allclose(np.quantile(one, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.1)
    else:
        # Uniform in the logarithm: many are near 0.
        np.testing.assert_allclose(
            np.quantile(np.log10(one), [0.25, 0.5, 0.75]), [-2.25, -1.5, -0.75], atol=0.3
        )


@pytest.mark.parametrize("form", ["rrnn", "scrn"])
def test_drawn_rates_are_part_of_the_specification(form, rng):
    net = shaken(make({"form": form, "rate": "uniform"}, lengths=False))
    other = recurrent.Regressor.from_spec({**net.to_spec(), "seed": 99})
    for one, param in zip(other.params, net.params, strict=True):
        one.set_value(param.get_value())
    assert not any(p.name == "rec.r" for p in net.params)
    x = rng.normal(size=(2, 5, NIN))
    np.testing.assert_array_equal(other.predict(x), net.predict(x))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "mut1", "mrnn", "scrn", "rrnn", "bcrnn"])
def test_sizes_may_be_shapes(name):
    spec = {k: v for k, v in FORMS[name][0].items() if k != "size"}
    net = recurrent.Regressor([NIN, {**spec, "name": "rec", "shape": (N,)}, 2])
    expected = make(FORMS[name][0], lengths=False)
    shapes = [[p.get_value().shape for p in n.params] for n in (net, expected)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("form", ["lstm", "mut1"])
def test_activations_without_meaning_make_no_parameters(form):
    with pytest.raises(ConfigurationError, match="activation='prelu'"):
        make({"form": form, "activation": "prelu"})


def test_no_rate_is_a_matrix(rng):
    x = rng.normal(size=(2, 5, NIN))
    one, other = (make({"form": "rrnn", "rate": r}, lengths=False) for r in (None, "matrix"))
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    assert one.feed_forward(x)["rec:rate"].shape == (2, 5, N)


def test_all_recurrent_forms_are_exported():
    forms = {
        layers.Layer.registry[name].__name__ for name in FORMS if name in layers.Layer.registry
    }
    assert {"RNN", "BCRNN", "Clockwork", "SCRN", "MUT1", "MRNN", "RRNN"} <= forms
    for name in forms:
        assert name in layers.__all__ or name == "CellLayer"


def test_a_sequence_costs_a_step_for_each_label(monkeypatch):
    net = recurrent.Classifier([5, (3, "gru"), 5])
    shapes = []
    call = streams.Carrier.__call__

    def counted(self, arrays, *others):
        shapes.append(arrays[0].shape)
        return call(self, arrays, *others)

    monkeypatch.setattr(streams.Carrier, "__call__", counted)
    assert len(list(net.predict_sequence([0, 1, 2, 3], 6, rng=0))) == 6
    assert shapes == [(1, 4, 5)] + [(1, 1, 5)] * 5
