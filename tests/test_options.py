"""Options of wrong types and values: each is refused by an error of ours, or has a meaning."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest

import theanets
from theanets import activations, metrics, optimizers
from theanets.errors import ConfigurationError, Error
from theanets.layers import Layer
from theanets.losses import Loss
from theanets.metrics import Metric
from theanets.optimizers import Optimizer, schedules
from theanets.options import (
    DROPPED,
    Choice,
    Configured,
    Flag,
    Name,
    Number,
    Numbers,
    Option,
    Whole,
    as_number,
    flag,
    number,
    whole_number,
)
from theanets.regularizers import Regularizer, from_kwargs

JUNK = [
    *(None, True, 0, 1, -1, 2, 3.5, -0.5, math.nan, math.inf, -math.inf, 10**30, -(10**30), 1e300),
    *("", "x", "2", "*", "mean", "é", b"x", [], [1], [1, 2], ["a"], (0.5, 0.5), {}, {"a": 1}),
    *({0: 1, 1: 5}, np.zeros(3), np.zeros((2, 2)), np.array(2.0), np.array("a"), np.float32(0.5)),
    *(object(), int, 1j, {1, 2}, np.full(2, np.nan), range(3)),
]


def ours(registry):
    found = {name: registry[name] for name in registry}
    return {k: v for k, v in found.items() if v.__module__.startswith("theanets.")}


def only_ours(function, what):
    """Call a function with each of the values; what it raises must be an error of ours."""
    for value in JUNK:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.filterwarnings("ignore", ".*it changes nothing", UserWarning)
                function(value)
        except Error:
            continue
        except Exception as error:
            pytest.fail(f"{what}={value!r} ends in {type(error).__name__}: {error}")


@pytest.mark.parametrize("name", ours(Loss.registry))
def test_losses(name):
    output = np.full((2, 3), 0.3, "float32")
    for key in [*Loss.registry[name].valid_options(), "weight", "weighted", "output_name"]:

        def attempt(value, key=key):
            loss = Loss.build(name, **{key: value})
            assert loss.log() and loss.to_spec()
            if key not in ("weight", "weighted", "output_name", "reduction"):
                target = np.array([0, 2]) if loss.labels else np.full((2, 3), 0.2, "float32")
                loss.value(output, target)

        only_ours(attempt, f"{name}: {key}")
    only_ours(lambda value: Loss.build(name, target=value), f"{name}: target")


def test_optimizers():
    for name, form in ours(Optimizer.registry).items():
        for key in form.keywords():
            only_ours(lambda v, n=name, k=key: optimizers.build(n, **{k: v}), f"{name}: {key}")


def test_schedules():
    needed = {"step": {"every": 2}, "exponential": {"decay": 0.5}, "warmup": {"updates": 4}}
    for name, form in ours(schedules.Schedule.registry).items():
        for key in inspect.signature(form).parameters:

            def attempt(value, name=name, key=key):
                given = {"total": 4} if name in ("cosine", "one-cycle") else needed.get(name, {})
                schedule = schedules.build({"form": name, **given, key: value})
                schedule.factor(3, 3)
                schedule.observe(1.0)

            only_ours(attempt, f"{name}: {key}")


def test_metrics():
    for name, form in ours(Metric.registry).items():
        for key in form.valid_options():
            only_ours(lambda v, n=name, k=key: metrics.build({"form": n, k: v}), f"{name}: {key}")


@pytest.fixture(scope="module")
def series():
    return theanets.recurrent.Regressor([3, (4, "rnn"), 2])


@pytest.mark.parametrize("name", ours(Regularizer.registry))
def test_regularizers(name, series):
    for key in [*Regularizer.registry[name].valid_options(), "weight", "pattern"]:

        def attempt(value, key=key):
            built = Regularizer.build(name, **{"weight": 0.1, key: value})
            assert built.log()
            hash(built.cache_key())
            series.loss(regularizers=[built])

        only_ours(attempt, f"{name}: {key}")


def test_keywords_of_regularizers(series):
    for key in theanets.regularizers.keywords():
        only_ours(lambda value, key=key: from_kwargs(series.layers, **{key: value}), key)


INPUTS = [4], [(None, 4)], [(6, 6, 3)], [{"form": "symbols", "classes": 5, "shape": (None,)}]
DRAWS = ("mean", "std", "sparsity", "diagonal", "radius", "std_w")


@pytest.mark.parametrize("name", ours(Layer.registry))
def test_layers(name):
    # What all layers have is the same code.
    common = ["name", "size", "shape", "inputs", "activation", "rng", *DRAWS]
    common = common if name in ("feedforward", "rnn", "conv2", "input") else ["size"]
    for before in INPUTS:
        try:
            theanets.Network([*before, {"form": name, "size": 4}], loss=None)
        except Error:
            # Not for such inputs, or it needs something else, which does not matter here.
            continue
        for key in [*Layer.registry[name].valid_options(), *common]:

            def attempt(value, key=key, before=before):
                spec = {"form": name, "size": 4, key: value}
                if key == "shape":
                    del spec["size"]
                repr(theanets.Network([*before, spec], loss=None))

            only_ours(attempt, f"{name} after {before}: {key}")
        return


def test_activations():
    def attempt(value):
        theanets.Network([3, {"size": 4, "activation": value}], loss=None)

    only_ours(attempt, "activation")
    for value in JUNK:
        if value is not None and not isinstance(value, str):
            with pytest.raises(ConfigurationError):
                activations.build(value)


@pytest.mark.parametrize("key", ["layers", "loss", "weighted", "rng", "dtype", "mode"])
def test_networks(key):
    only_ours(lambda value: theanets.Regressor(**{"layers": [3, 2], key: value}), key)


# ---- the options themselves --------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        (Number(1.0, "positive"), [(2, 2.0), (np.float32(0.5), 0.5)], [0, -1, None, True, "1"]),
        (Number(None, "unit"), [(None, None), (1, 1.0)], [1.1, math.nan, [0.5]]),
        (Number(0.0, "fraction"), [(np.array(0.5), 0.5)], [1, -0.1, np.zeros(2), 10**400]),
        (Numbers(0.5, "inner"), [([0.1, 0.9], [0.1, 0.9]), (0.3, 0.3)], [[], [0, 1], {}, "0.5"]),
        (Numbers(None, "any"), [(np.ones(2), [1.0, 1.0]), (None, None)], [np.ones((2, 2)), "1"]),
        (Whole(1), [(np.int8(3), 3)], [0, 1.0, True, None, 2**31]),
        (Whole(None, least=None), [(-5, -5), (None, None)], ["1", -(2**40)]),
        (Whole(2, 1, 4), [(4, 4)], [5, 0]),
        (Flag(False), [(np.True_, True), (0, False), (1, True)], [2, None, "yes", 1.0]),
        (Choice("mean", ("mean", "sum")), [("SUM", "sum")], ["men", 1, None, ["sum"]]),
        (Choice(1, (1, 2)), [(2, 2)], [3, "1", True, 1.0]),
        (Name("mean"), [("x", "x")], [None, "", 3]),
    ],
)
def test_options(option, good, bad):
    for given, kept in good:
        found = option.check("key", given, "loss 'x'")
        assert found == kept and type(found) is type(kept)
    for given in bad:
        with pytest.raises(ConfigurationError, match=r"(?s)loss 'x': key=.* is not ") as caught:
            option.check("key", given, "loss 'x'")
        assert option.expected in str(caught.value)


@pytest.mark.parametrize(
    ("check", "value", "says"),
    [
        (lambda name, value: number(name, value, "unit"), 1.5, "a number in [0, 1]"),
        (lambda name, value: number(name, value, where="x"), math.nan, "a finite number"),
        (whole_number, 0, "an integer of at least 1"),
        (whole_number, 2.0, "an integer of at least 1"),
        (Whole(1).check, 2**31, "an integer of at least 1 that is below 2 ** 31"),
        (lambda name, value: Whole(2, 1, 3).check(name, value), 2**31, "1 and at most 3"),
        (flag, "yes", "True or False"),
        (flag, 2, "True or False"),
    ],
)
def test_arguments(check, value, says):
    with pytest.raises(ConfigurationError) as caught:
        check("key", value)
    assert str(caught.value).removeprefix("x: ").startswith(f"key={value!r} is not ")
    assert str(caught.value).endswith(says)


def test_arguments_that_are_taken():
    assert number("key", np.float32(0.5), "unit") == 0.5
    assert type(whole_number("key", np.int8(3))) is int
    assert whole_number("key", 2**40) == 2**40
    assert flag("key", 0) is False
    assert flag("key", np.True_) is True


def test_the_nearest_choice_is_named():
    with pytest.raises(ConfigurationError, match="did you mean 'mean'"):
        Loss.build("mse", reduction="men")


def test_numbers():
    assert as_number(np.int64(3)) == 3.0
    for value in (True, np.True_, "3", 1j, math.inf, None, [3], np.array([3.0])):
        assert as_number(value) is None


def test_options_are_inherited():
    class Base(Configured):
        options = {"a": Number(1.0, "positive"), "b": 2, "c": None}  # noqa: RUF012

    class Derived(Base):
        options = {"a": 3.0, "c": DROPPED, "d": Flag(True)}  # noqa: RUF012

    assert Derived.valid_options() == {"a": 3.0, "b": 2, "d": True}
    made = Derived()
    made.set_options({"b": "anything", "c": None}, "it")
    assert (made.a, made.b, made.d) == (3.0, "anything", True)
    with pytest.raises(ConfigurationError, match="it: a=-1 is not a positive number"):
        made.set_options({"a": -1}, "it")
    with pytest.raises(ConfigurationError, match="it: c=5 means nothing here"):
        made.set_options({"c": 5}, "it")
    with pytest.raises(ConfigurationError, match="'aa' \\(did you mean 'a'"):
        made.set_options({"aa": 5}, "it")
    assert isinstance(Base._declared()["b"], Option)


def test_a_penalty_of_ones_own_keeps_the_options_of_its_base():
    class Cubed(theanets.regularizers.WeightL2):
        options = {"factor": Number(2.0, "positive")}  # noqa: RUF012

        def entries(self, x):
            return self.factor * abs(x) ** 3

    net = theanets.Regressor([2, 3, 1], rng=0)
    weights = [net.find(name).get_value() for name in ("hid1.w", "out.w")]
    found = net.loss(cubed={"weight": 1.0, "norm": "sum", "factor": 3}) - net.loss()
    expected = sum(3 * (abs(w) ** 3).sum() for w in weights)
    zeros = {"in": np.zeros((1, 2)), "target": np.zeros((1, 1))}
    given = {variable: zeros[variable.name].astype("float32") for variable in net.variables}
    assert found.eval(given) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["square", "squentropy", "hinge", "l_softmax", "perceptron"])
def test_options_without_meaning_are_refused(form):
    with pytest.raises(ConfigurationError, match="logits=True means nothing here"):
        Loss.build(form, logits=True)
    # As in files of earlier versions.
    assert Loss.build(form, logits=False).name == form
    assert "logits" not in Loss.build(form).to_spec()


def test_costs_without_meaning_are_refused():
    for form in ("crf", "perceptron"):
        with pytest.raises(ConfigurationError, match="means nothing here"):
            Loss.build(form, cost=[1, 2])


# Flags of losses of several outputs, or of series, have tests of their own.
OTHERS = ("log_covar", "log_scale", "plain", "zero_infinity")
FLAGS = [
    (name, key, not one.default)
    for name, form in ours(Loss.registry).items()
    for key, one in form._declared().items()
    if isinstance(one, Flag) and key not in OTHERS and name != "ctc"
]


@pytest.mark.parametrize(("name", "key", "other"), FLAGS)
def test_a_flag_of_a_loss_means_something(name, key, other, rng):
    output = rng.uniform(0.2, 0.9, (4, 3)).astype("float32")
    # What a flag says matters for labels or for values.
    targets = np.array([0, 2, 1, 1]), rng.uniform(0.1, 1, (4, 3)).astype("float32")
    found = []
    for target in targets:
        try:
            values = [Loss.build(name, **k).value(output, target) for k in ({}, {key: other})]
        except Error:
            continue
        found.append(values[0] != pytest.approx(values[1], rel=1e-6))
    assert any(found)
