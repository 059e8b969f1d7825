"""What several processes train together is what one would have trained on all of the data."""

import numpy as np
import pytest
from group_cases import FAST, SIZES, N, assert_same, columns, cut, data, regressor, trained

import theanets
from theanets import spmd


@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-14), ("float32", 3e-7)])
def test_parameters_do_not_depend_on_how_many_processes_there_are(dtype, atol):
    shards = cut(data())
    nets = [
        trained(lambda: regressor(dtype), shards, size, epochs=4, batch_size=10)
        for size in (1, 2, 3)
    ]
    before = regressor(dtype)
    assert any(
        abs(a.get_value() - b.get_value()).max() > 1e-3
        for a, b in zip(before.params, nets[0].params, strict=True)
    )
    for net in nets[1:]:
        assert_same(net, nets[0], 0, atol)
        for monitors, first in zip(net.result, nets[0].result, strict=True):
            for key, value in monitors.items():
                assert value == pytest.approx(first[key], rel=1e-5 if dtype == "float32" else 1e-12)


def test_it_is_one_process_on_the_same_batches(monkeypatch):
    x, y = data()
    shards = cut((x, y))
    ends = np.cumsum([0, *SIZES])
    batches = []

    class Batches(spmd.sampling.Shards):
        def _part(self, batch, orders):
            rows = np.concatenate(
                [
                    ends[number] + orders[number][a:b]
                    for number, a, b in zip(
                        self.own, self._cuts[batch], self._cuts[batch + 1], strict=True
                    )
                ]
            )
            batches.append((x[rows], y[rows]))
            return super()._part(batch, orders)

    with monkeypatch.context() as patched:
        patched.setattr(spmd.setup, "Shards", Batches)
        trained(regressor, shards, 1, epochs=3, batch_size=10, patience=None)
    assert [len(a) for a, _ in batches] == 3 * [*10 * [10], 3]
    net = trained(regressor, shards, 3, epochs=3, batch_size=10, weight_l2=0.1, patience=None)
    alone = regressor()
    alone.train(
        iter(batches),
        [x, y],
        train_batches=11,
        epochs=3,
        weight_l2=0.1,
        patience=None,
        **FAST,
    )
    assert_same(net, alone)
    np.testing.assert_allclose(net.history["train_loss"], alone.history["train_loss"])
    np.testing.assert_allclose(net.history["valid_loss"], alone.history["valid_loss"])


OPTIONS = {
    "penalties": {"weight_l2": 0.1, "hidden_l1": 0.2, "weight_l1": {"hid1.w": 0.1}},
    "clipping": {"algo": "sgd", "max_global_norm": 0.1, "momentum": 0.9, "learning_rate": 0.1},
    "norms": {"max_norm": 0.5, "algo": "rmsprop"},
    "frozen": {"freeze": "hid1.*"},
    "averages": {"average": "ema"},
    "schedule": {"learning_rate_schedule": "cosine"},
    "epochs averaged": {"average": {"form": "swa", "start": 2}},
    "l-bfgs": {"algo": "l-bfgs", "weight_l2": 0.01},
    "gradients": {"monitor_gradients": True, "metrics": ["r2", "mae"], "monitors": {"hid1:out": 0}},
    "contractive": {"contractive": 0.1},
    "group_lasso": {"group_lasso": 0.1},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_batches_of_all_data_are_those_of_one_process(options):
    x, y = data()
    kwargs = {"epochs": 3, "batch_size": N, **options}
    if options.get("monitors"):
        kwargs["monitors"] = {"hid1:out": {"mean": lambda h: h.mean()}}
    net = trained(regressor, cut((x, y)), 3, **kwargs)
    alone = regressor()
    alone.train([x, y], **FAST, **kwargs)
    assert_same(net, alone, 1e-8, 1e-10)
    found, expected = columns(net), columns(alone)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, 1e-8, 1e-12, err_msg=key)


def test_weights_and_several_losses():
    rng = np.random.default_rng(1)
    x, y = data()
    weights = rng.integers(0, 3, (N, 2)).astype(float)
    weights[: SIZES[0]] *= 4

    def make():
        net = regressor(loss="mae", weighted=True)
        net.add_loss("mse", weight=0.5)
        return net

    shards = cut((x, y, weights))
    whole = trained(make, shards, 3, epochs=3, batch_size=N)
    alone = make()
    alone.train([x, y, weights], epochs=3, batch_size=N, **FAST)
    assert_same(whole, alone)
    assert whole.result[1]["loss"] == pytest.approx(alone.history["valid_loss"][-1])
    one, three = (trained(make, shards, size, epochs=3, batch_size=10) for size in (1, 3))
    assert_same(three, one)


def test_series_of_different_lengths():
    rng = np.random.default_rng(2)
    lengths = rng.integers(2, 9, 31)
    x = [rng.normal(size=(t, 3)) for t in lengths]
    y = [np.cumsum(one[:, :2], axis=0) for one in x]

    def make():
        return theanets.recurrent.Regressor([3, ("rnn", 5), 2], rng=1, dtype="float64")

    shards = {0: [x[:20], y[:20]], 1: [x[20:], y[20:]]}
    two = trained(make, shards, 2, epochs=2, batch_size=31, hidden_l2=0.1)
    alone = make()
    alone.train([x, y], epochs=2, batch_size=31, hidden_l2=0.1, **FAST)
    assert_same(two, alone)
    one, two = (trained(make, shards, size, epochs=2, batch_size=7) for size in (1, 2))
    assert_same(two, one)


def test_noise_is_that_of_the_shards():
    shards = cut(data())
    kwargs = {"epochs": 3, "batch_size": 20, "hidden_dropout": 0.3, "input_noise": 0.1}
    nets = [trained(regressor, shards, size, **kwargs) for size in (1, 2, 3)]
    for net in nets[1:]:
        assert_same(net, nets[0])
    # Shards have noise of their own each.
    same = cut(tuple(np.tile(a[:1], (60, 1)) for a in data()), [20, 20, 20])
    net = trained(regressor, same, 3, epochs=1, batch_size=60, hidden_dropout=0.5)
    alone = trained(regressor, {0: same[0]}, 1, epochs=1, batch_size=20, hidden_dropout=0.5)
    with pytest.raises(AssertionError):
        assert_same(net, alone)


def test_classes_weigh_the_same_over_all_processes():
    x, y = data()
    labels = (y[:, 0] > 0.5).astype(int) + (y[:, 1] > 0.5)
    order = np.argsort(labels, kind="stable")  # some classes are in one shard only
    x, labels = x[order], labels[order]

    def make():
        loss = {"form": "xe", "class_weight": "balanced"}
        return theanets.Classifier([4, 5, 3], loss=loss, rng=1, dtype="float64")

    metrics = ["auc", "f1", "balanced_accuracy", "ece"]
    kwargs = {"epochs": 2, "batch_size": N, "metrics": metrics}
    net = trained(make, cut((x, labels)), 3, **kwargs)
    alone = make()
    alone.train([x, labels], **FAST, **kwargs)
    assert_same(net, alone)
    for key in metrics:
        name = {"ece": "calibration_error"}.get(key, key)
        for part in ("train", "valid"):
            np.testing.assert_allclose(
                net.history[f"{part}_{name}"], alone.history[f"{part}_{name}"], 1e-9
            )


def test_validation_data_may_be_anywhere_and_rows_held_back():
    x, y = data()
    valid = dict([list(cut(data(5)).items())[1]])
    net = trained(regressor, cut((x, y)), 3, valid, epochs=2)
    expected = net.evaluate(valid[1])["loss"]
    assert net.result[1]["loss"] == pytest.approx(expected)
    nets = [
        trained(regressor, cut((x, y)), size, epochs=3, validation_split=0.25, batch_size=9)
        for size in (1, 3)
    ]
    assert_same(*nets)
    assert nets[0].result[0]["loss"] != nets[0].result[1]["loss"]


def test_an_epoch_of_fewer_batches_goes_on_where_the_last_ended():
    shards = cut(data())
    short, long = (
        trained(regressor, shards, 2, batch_size=20, patience=None, max_updates=12, train_batches=b)
        for b in (2, 6)
    )
    assert len(short.history) == 6
    assert len(long.history) == 2
    # All six batches of a pass have each row once, so that sums of squares are those of all.
    several = trained(regressor, shards, 1, batch_size=20, epochs=1, learning_rate=1e-12)
    assert several.history["train_loss"][0] == pytest.approx(several.result[1]["loss"], rel=1e-6)
