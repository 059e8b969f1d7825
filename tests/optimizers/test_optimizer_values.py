"""Values, structure, clipping and errors of optimizers' hyper-parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from optimizer_cases import FIRST_ORDER, SHAPES, compiled, gradients

import theanets
from theanets import metrics, optimizers, regularizers
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.optimizers.schedules import Cosine


def test_values_change_without_compiling():
    new = {"learning_rate": 0.2, "beta1": 0.3, "beta2": 0.4, "rms_regularizer": 0.5}
    params, step, update = compiled("adam")
    opt = optimizers.build("adam", **new)
    opt.assign(step)
    expected, _, other = compiled("adam", **new)
    for grads in gradients(3):
        update(*grads)
        other(*grads)
    for a, b in zip(params, expected):
        np.testing.assert_array_equal(a.get_value(), b.get_value())
    assert not np.allclose(params[0].get_value(), compiled("adam")[0][0].get_value())


@pytest.mark.parametrize(
    ("kwargs", "other"),
    [
        ({"momentum": 0.5}, {"momentum": 0.9}),
        ({"max_gradient_elem": 1}, {"max_gradient_elem": 1e-3}),
        ({"max_gradient_norm": 1}, {"max_gradient_norm": 1e-3}),
        ({"max_global_norm": 1}, {"max_global_norm": 1e-3}),
        ({"decoupled_weight_decay": 0.1}, {"decoupled_weight_decay": 0.9}),
    ],
)
def test_common_values_are_used(kwargs, other):
    params, step, update = compiled("sgd", **kwargs)
    optimizers.build("sgd", **other).assign(step)
    expected, _, reference = compiled("sgd", **other)
    for grads in gradients(3):
        update(*grads)
        reference(*grads)
    np.testing.assert_array_equal(params[0].get_value(), expected[0].get_value())


def test_set_rate():
    params, step, update = compiled("sgd", {"b": (1,)}, "float32", 0.0)
    step.set_rate(0.5)
    update(np.ones(1, "float32"))
    assert params[0].get_value() == -0.5


def test_cache_key():
    def key(algo, **kwargs):
        return optimizers.build(algo, **kwargs).cache_key()

    assert key("adam") == key("Adam", learning_rate=1, beta1=0.1, rms_regularizer=1)
    assert hash(key("adam")) == hash(key("adam", beta2=0.5))
    assert key("sgd", momentum=0.1) == key("momentum")
    different = [
        key("adam"),
        key("nadam"),
        key("adamw"),
        key("adam", momentum=0.1),
        key("adam", momentum=0.1, nesterov=True),
        key("adam", max_gradient_norm=1),
        key("adam", max_gradient_elem=1),
        key("adam", max_global_norm=1),
        key("rmsprop"),
        key("rmsprop", centered=True),
        key("l-bfgs"),
    ]
    assert len(set(different)) == len(different)
    assert key("adam", max_gradient_norm=None) == key("adam", max_gradient_norm=0)


def test_names_of_earlier_versions():
    adam = optimizers.build("adam")
    with pytest.warns(DeprecationWarning, match=r"structure of Adam is now cache_key\(\)"):
        assert adam.structure == adam.cache_key()
    penalty, metric = regularizers.WeightL2(0.1), metrics.Metric.registry["accuracy"]()
    for one in (penalty, metric, theanets.Regressor([1, 1]).layers[1]):
        with pytest.warns(DeprecationWarning, match=r"structure\(\) of .* is now cache_key\(\)"):
            assert str(one.structure()) == str(one.cache_key())
    with pytest.warns(DeprecationWarning, match="optimizers.Updates"):
        assert optimizers.Step is optimizers.Updates


def test_assign_refuses_other_transforms():
    _, step, _ = compiled("adam")
    with pytest.raises(ConfigurationError, match=r"AddMomentum.* made by"):
        optimizers.build("adam", momentum=0.5).assign(step)


def test_halflives():
    values = optimizers.build("adam", beta1_halflife=1, beta2_halflife=2).values
    assert values["beta1"] == pytest.approx(0.5)
    assert values["beta2"] == pytest.approx(0.5**0.5)
    values = optimizers.build("adam").values
    assert values["beta1"] == pytest.approx(np.exp(-np.log(2) / 7))
    assert values["beta2"] == pytest.approx(0.99000, abs=1e-5)
    assert optimizers.build("rmsprop").values["decay"] == pytest.approx(0.9517, abs=1e-4)
    _, step, _ = compiled("rmsprop", decay=0.25)
    assert step.hyper["decay"].get_value() == 0.25


def test_decays_stay_below_one_in_float32():
    _, step, update = compiled("adam", dtype="float32", beta2=1 - 1e-12)
    assert step.hyper["beta2"].get_value() < 1
    update(*[g.astype("float32") for g in gradients(1)[0]])


def test_default_rates():
    for name, rate in optimizers.LEARNING_RATES.items():
        assert optimizers.build(name).values["learning_rate"] == rate
        assert optimizers.build(name, learning_rate=None).values["learning_rate"] == rate


# ---- clipping ----


def clipped(grads, **kwargs):
    params, _, update = compiled("sgd", start=0.0, learning_rate=1.0, **kwargs)
    update(*grads)
    return [-p.get_value() for p in params]


def norm(*arrays):
    return np.sqrt(sum((a**2).sum() for a in arrays))


def test_clip_elements():
    grads = gradients(1)[0]
    for a, g in zip(clipped(grads, max_gradient_elem=0.3), grads):
        np.testing.assert_allclose(a, np.clip(g, -0.3, 0.3), atol=1e-12)


def test_clip_norm_per_parameter():
    w, b = gradients(1)[0]
    w, b = w / norm(w) * 5, b / norm(b) * 0.9
    got = clipped([w, b], max_gradient_norm=1.5)
    np.testing.assert_allclose(got[0], w * 0.3, atol=1e-12)
    np.testing.assert_allclose(got[1], b, atol=1e-12)


def test_clip_global_norm():
    w, b = gradients(1)[0]
    got = clipped([w, b], max_global_norm=0.5)
    np.testing.assert_allclose(got[0], w * 0.5 / norm(w, b), atol=1e-12)
    np.testing.assert_allclose(got[1], b * 0.5 / norm(w, b), atol=1e-12)
    for a, g in zip(clipped([w, b], max_global_norm=100), (w, b)):
        np.testing.assert_allclose(a, g, atol=1e-12)


def test_clip_elements_then_norms():
    w, b = gradients(1)[0]
    got = clipped([w, b], max_gradient_elem=0.3, max_gradient_norm=0.4, max_global_norm=0.5)
    first = [np.clip(g, -0.3, 0.3) for g in (w, b)]
    second = [g * min(1, 0.4 / norm(g)) for g in first]
    third = [g * min(1, 0.5 / norm(*second)) for g in second]
    assert norm(*first) > norm(*second) > norm(*third)
    for a, g in zip(got, third):
        np.testing.assert_allclose(a, g, atol=1e-12)


@pytest.mark.parametrize("algo", [a for a in FIRST_ORDER if a != "esgd"])
def test_zero_gradients(algo):
    params, _, update = compiled(
        algo,
        dtype="float32",
        start=2.0,
        max_gradient_norm=1,
        max_global_norm=1,
        decoupled_weight_decay=None if algo != "adamw" else 0,
    )
    for _ in range(3):
        update(*[np.zeros(s, "float32") for s in SHAPES.values()])
    for p in params:
        np.testing.assert_array_equal(p.get_value(), 2)


@pytest.mark.parametrize("old", ["gradient_clip", "max_gradient_clip"])
def test_deprecated_clipping(old):
    with pytest.warns(DeprecationWarning, match="max_gradient_elem"):
        opt = optimizers.build("sgd", **{old: 0.5})
    assert opt.values["max_gradient_elem"] == 0.5
    with pytest.raises(ConfigurationError, match=old):
        optimizers.build("sgd", max_gradient_elem=1, **{old: 0.5})


# ---- errors ----


@pytest.mark.parametrize(
    ("algo", "kwargs"),
    [
        ("sgd", {"learning_rate": 0}),
        ("sgd", {"learning_rate": -1}),
        ("sgd", {"learning_rate": float("nan")}),
        ("sgd", {"learning_rate": float("inf")}),
        ("sgd", {"learning_rate": "0.1"}),
        ("sgd", {"learning_rate": True}),
        ("sgd", {"learning_rate": [0.1, 0.2]}),
        ("sgd", {"momentum": 1}),
        ("sgd", {"momentum": -0.1}),
        ("sgd", {"nesterov": 2}),
        ("sgd", {"max_gradient_norm": -1}),
        ("sgd", {"max_gradient_elem": float("nan")}),
        ("sgd", {"decoupled_weight_decay": -1}),
        ("adam", {"beta1": 1.0}),
        ("adam", {"beta1_halflife": 0}),
        ("adam", {"beta2_halflife": -3}),
        ("adam", {"rms_regularizer": 0}),
        ("rmsprop", {"rms_halflife": "x"}),
        ("rmsprop", {"centered": "yes"}),
        ("rprop", {"rprop_increase": 0.9}),
        ("rprop", {"rprop_decrease": 1.1}),
        ("rprop", {"rprop_decrease": 0}),
        ("rprop", {"rprop_min_step": -1}),
        ("l-bfgs", {"history": 0}),
        ("l-bfgs", {"history": 2.5}),
        ("l-bfgs", {"tolerance": -1}),
    ],
)
def test_invalid_values(algo, kwargs):
    [(name, value)] = kwargs.items()
    with pytest.raises(ConfigurationError) as caught:
        optimizers.build(algo, **kwargs)
    assert f": {name}={value!r} is not " in str(caught.value)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="did you mean 'rmsprop'"):
        optimizers.build("rmsprob")
    with pytest.raises(ConfigurationError, match="did you mean 'learning_rate'"):
        optimizers.build("adam", lerning_rate=0.1)
    with pytest.raises(ConfigurationError, match="did you mean 'beta1_halflife'"):
        optimizers.build("adam", beta1_halflive=None)
    with pytest.raises(ConfigurationError, match="learning_rate"):
        optimizers.build("l-bfgs", learning_rate=0.1)
    with pytest.raises(ConfigurationError, match="only one"):
        optimizers.build("adam", beta1=0.9, beta1_halflife=7)
    with pytest.raises(UnknownNameError):
        optimizers.build(None)


def test_keywords():
    common = {"learning_rate", "learning_rate_schedule", "momentum", "nesterov", "gradient_clip"}
    assert common < optimizers.keywords("ADAM")
    assert "beta1_halflife" in optimizers.keywords("adam")
    assert "beta1" not in optimizers.keywords("sgd")
    assert optimizers.keywords("bfgs") == {"history", "tolerance", "gradient_tolerance"}
    assert optimizers.build("sgd").keywords() == optimizers.keywords(optimizers.SGD)


def test_build_takes_classes_and_instances():
    opt = optimizers.build(optimizers.Adam, learning_rate=0.5)
    assert optimizers.build(opt) is opt
    with pytest.raises(ConfigurationError, match="momentum"):
        optimizers.build(opt, momentum=0.5)
    assert "learning_rate=0.5" in repr(opt)


def test_invalid_params():
    opt = optimizers.build("sgd")
    x = pytensor.shared(np.ones(2), name="x")
    nameless, whole = pytensor.shared(np.ones(2)), pytensor.shared(np.arange(2), name="i")
    for params, grads, match in [
        ([], [], "no parameter"),
        ([x], [], "1 params but 0"),
        ([x, x], [x, x], "twice"),
        ([nameless], [x], "empty"),
        ([whole], [x], "int64"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            opt.apply(params, grads)


def test_schedule():
    opt = optimizers.build("sgd", learning_rate_schedule={"form": "cosine", "total": 4})
    assert isinstance(opt.schedule, Cosine)
    assert optimizers.build("sgd").schedule.factor(3, 4) == 1
    with pytest.raises(UnknownNameError, match="cosine"):
        optimizers.build("sgd", learning_rate_schedule="cosin")


def test_algorithm_of_ones_own():
    @dataclass(frozen=True)
    class ScaleBySignOnly(optimizers.Transform):
        def __call__(self, steps, params, state):
            mix = state.hyper("mix")
            results = []
            for g, param in zip(steps, params):
                m = state.zeros(param, "m")
                new = state.update(m, mix * m + (state.constant(1) - mix) * g)
                results.append(pt.sign(new))
            return results

    class SignsOnly(optimizers.FirstOrder):
        default_rate = 0.5
        hypers = (optimizers.Hyper("mix", 0.9, "fraction"),)

        def scale(self):
            return [ScaleBySignOnly()]

    params, step, update = compiled("signsonly", {"b": (2,)}, start=0.0, mix=0.25)
    update(np.array([2.0, -3.0]))
    np.testing.assert_array_equal(params[0].get_value(), [-0.5, 0.5])
    np.testing.assert_array_equal(step.state["b/m"].get_value(), [1.5, -2.25])
