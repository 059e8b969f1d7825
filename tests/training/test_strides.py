"""Many updates in one call of JAX are what they are one by one."""

import itertools

import numpy as np
import pytest

import theanets
from theanets import backends

pytest.importorskip("jax")

from theanets.linkers import jax_function, jax_fused
from theanets.training import strides

pytestmark = pytest.mark.linker

rng = np.random.default_rng(0)
# The last batch of an epoch is smaller.
X = rng.normal(size=(70, 5)).astype("float32")
LABELS = rng.integers(3, size=70)
WEIGHTS = rng.integers(3, size=70).astype("float32")
SERIES = [rng.normal(size=(n, 2)) for n in rng.integers(1, 25, 70)]
TAGS = [rng.integers(3, size=len(one)) for one in SERIES]
TARGETS = rng.normal(size=(70, 4, 2)).astype("float32")


def vectors():
    layers = [5, 8, "batch_norm", dict(form="dropout", rate=0.3), 3]
    net = theanets.Classifier(layers, weighted=True, rng=1, mode="JAX")
    return net, [X, LABELS, WEIGHTS]


def series():
    layers = [2, dict(form="gru", size=4), 3]
    return theanets.recurrent.Classifier(layers, rng=1, mode="JAX"), [SERIES, TAGS]


def spread():
    net = theanets.recurrent.Regressor([2, (4, "rnn"), 2], weighted=True, rng=1, mode="JAX")
    weights = np.random.default_rng(5).integers(1, 3, size=(70, 4)).astype("float32")
    return net, [np.random.default_rng(3).normal(size=(70, 4, 2)), TARGETS, weights]


def images():
    layers = [(4, 4, 1), dict(form="conv2", size=2, filter_size=(2, 2)), "flat", 3]
    x = np.random.default_rng(4).normal(size=(70, 4, 4, 1))
    return theanets.Classifier(layers, rng=1, mode="JAX"), [x, LABELS]


DECAY = {"form": "exponential", "decay": 0.97, "unit": "update"}
CASES = {
    "vectors": (
        vectors,
        {
            "algo": "adam",
            "learning_rate": 0.01,
            "learning_rate_schedule": DECAY,
            "hidden_noise": 0.1,
            "weight_l2": 0.01,
            "max_norm": 2.0,
            "max_global_norm": 0.5,
            "average": "ema",
            "monitors": {"hid1:out": [0.5]},
            "metrics": ["f1"],
        },
    ),
    "series": (series, {"algo": "rmsprop", "learning_rate": 0.01, "hidden_l1": 0.1}),
    "spread": (spread, {"algo": "esgd", "momentum": 0.5, "nesterov": True, "train_batches": 5}),
}


def watched(monkeypatch):
    """Note of each call how many batches it had."""
    sizes, plain = [], jax_fused.Fused.__call__

    def call(self, batches, *others):
        sizes.append(len(batches))
        return plain(self, batches, *others)

    monkeypatch.setattr(jax_fused.Fused, "__call__", call)
    return sizes


def rows(net):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]


def values(net):
    return [v.get_value() for v in (*net.params, *net.state)]


def trained(make, one_by_one=False, **options):
    net, data = make()
    with pytest.MonkeyPatch.context() as patch:
        if one_by_one:
            patch.setattr(backends, "fused", lambda *arguments: None)
        net.train(data, batch_size=16, **{"epochs": 3, **options})
    return net


def compare(one, other):
    for a, b in zip(values(one), values(other), strict=True):
        assert type(a) is np.ndarray and a.flags.writeable
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(rows(one)) == len(rows(other)) > 0
    for a, b in zip(rows(one), rows(other), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_one_after_the_other(name, monkeypatch):
    make, options = CASES[name]
    sizes = watched(monkeypatch)
    together = trained(make, **options)
    assert max(sizes) > 1
    made = len(sizes)
    compare(together, trained(make, one_by_one=True, **options))
    assert len(sizes) == made


class Look(theanets.Callback):
    def __init__(self, until=np.inf):
        self.until, self.seen = until, []

    def batch(self, run):
        self.seen.append((run.updates, run.learning_rate, values(run.network)[0]))
        if run.updates >= self.until:
            run.stop()


def test_bits_do_not_depend_on_who_looks_nor_on_how_many_a_call_has_room_for(monkeypatch):
    make, options = CASES["vectors"]
    plain = trained(make, **options)
    look = Look()
    looked = trained(make, callbacks=look, **options)
    assert [updates for updates, *_ in look.seen] == list(range(1, 16))
    assert all((a[2] != b[2]).any() for a, b in itertools.pairwise(look.seen))
    assert look.seen[4][1] == pytest.approx(0.01 * 0.97**4)
    # As for a GPU, and with little room.
    monkeypatch.setattr(jax_fused, "MOST", 3)
    loop = jax_function.Drawing.loop
    monkeypatch.setattr(jax_function.Drawing, "loop", lambda self, each, _: loop(self, each, 2))
    for net in (looked, trained(make, **options)):
        assert rows(net) == rows(plain)
        for a, b in zip(values(net), values(plain), strict=True):
            np.testing.assert_array_equal(a, b)


def test_limits_are_exact_and_a_run_goes_on_with_the_same_bits(tmp_path):
    make, options = CASES["vectors"]
    whole = trained(make, **options)
    options = {**options, "checkpoint": tmp_path / "run"}
    part = trained(make, **{**options, "epochs": 1})
    rest = trained(make, **options)
    for a, b in zip(values(rest), values(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert part.history["updates"] == [5]
    for limits, updates in (({"max_updates": 7}, [5, 7]), ({"callbacks": Look(8)}, [5, 8])):
        net = trained(make, **{**CASES["vectors"][1], **limits})
        assert net.history["updates"] == updates


def test_what_is_set_and_changed_in_place_between_updates_is_what_comes_next():
    class Change(theanets.Callback):
        def batch(self, run):
            weights, bias = run.network.params[:2]
            weights.get_value(borrow=True)[...] = 1
            bias.set_value(np.ones_like(bias.get_value()))

        def epoch(self, run):
            self.ended = values(run.network)[:2]

    def make():
        return theanets.Classifier([5, 3], rng=1, mode="JAX"), [X, LABELS]

    change = Change()
    trained(make, callbacks=change, algo="sgd", learning_rate=0.1, patience=None)
    assert all((value == 1).all() for value in change.ended)


def test_states_that_change_their_shape_are_updated_one_by_one(monkeypatch):
    def make():
        layers = [2, dict(form="rnn", size=3, stateful=True), dict(form="dropout", rate=0.3), 2]
        net = theanets.recurrent.Regressor(layers, rng=1, mode="JAX")
        return net, [np.random.default_rng(3).normal(size=(70, 4, 2)), TARGETS]

    parted, part = [], strides.Strides.part
    monkeypatch.setattr(strides.Strides, "part", lambda self: [parted.append(self), part(self)])
    options = {"algo": "sgd", "epochs": 2, "learning_rate_schedule": DECAY}
    # Nothing was drawn, nor any batch left out, by the call that failed.
    compare(trained(make, **options), trained(make, one_by_one=True, **options))
    assert len(parted) == 1


def test_convolutions_on_a_cpu_are_not_in_a_loop(monkeypatch):
    sizes = watched(monkeypatch)
    plain = trained(images)
    assert not sizes
    monkeypatch.setattr(jax_fused, "worth_it", lambda function, resident: True)
    compare(trained(images), plain)
    assert max(sizes) > 1


def test_data_that_do_not_fit_stay_where_they_are(monkeypatch):
    sizes = watched(monkeypatch)
    monkeypatch.setattr(jax_fused, "DATA_BYTES", X.nbytes)
    trained(vectors)
    assert not sizes
