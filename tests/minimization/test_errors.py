"""What cannot be minimized is refused, in words, before anything is compiled."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets

x, y, i = pt.vector("x"), pt.vector("y"), pt.lvector("i")
scalar, three, other = pt.scalar("s"), pt.tensor("v", shape=(3,)), pt.vector("x")
complicated = pt.zvector("z")
a = pytensor.shared(1.0, "a")
w = pytensor.shared(np.ones(3), "w")
spoiled = pytensor.shared(np.array([1.0, np.nan]), "spoiled")
count = pytensor.shared(3, "count")
DATA = np.linspace(0, 1, 4)
COST = pt.sqr(a * x - y).mean()
XY = {"inputs": [x, y], "train": [DATA, DATA]}


@pytest.fixture(autouse=True)
def no_compiling(monkeypatch):
    def compiled(*arguments, **keywords):
        raise AssertionError("something is compiled")

    monkeypatch.setattr("theanets.backends.function", compiled)


GENERATOR = pt.random.shared_rng(np.random.default_rng(1), name="draws")
FOLLOWING, RANDOM = GENERATOR.normal(a, 1.0)

REFUSED = {
    "no expression": (3.0, {}, r"cost=3.0 is not a symbolic expression"),
    "a vector": (pt.sqr(w), {}, r"cost has 1 dimension; expected a scalar: cost.mean"),
    "a matrix": (pt.outer(w, w), {}, r"cost has 2 dimensions"),
    "integers": (count + 1, {}, r"cost is of type int64; expected float32 or float64"),
    "complex": (a + 1j, {}, r"cost is of type complex128"),
    "nothing to train": (pt.as_tensor(1.0), {}, r"gradient for no shared variable"),
    "only counts": (count.astype("float64"), {}, r"gradient for no shared variable"),
    "no params": (COST, {**XY, "params": []}, r"params=\[\] holds no parameter"),
    "no shared variable": (COST, {**XY, "params": [x]}, r"params\[0\], 'x', is no shared variable"),
    "an array": (COST, {**XY, "params": [DATA]}, r"params\[0\] is no shared variable but array"),
    "integer parameter": (COST * count, {**XY, "params": [a, count]}, r"'count', is of type int64"),
    "twice": (COST, {**XY, "params": [a, a]}, r"params\[1\], 'a', is in params twice"),
    "elsewhere": (COST, {**XY, "params": [w]}, r"the cost does not depend on params\[0\], 'w'"),
    "rounded": (pt.round(a) + w.sum(), {"params": [a]}, r"no gradient for params\[0\], 'a'"),
    "disconnected": (
        pytensor.gradient.disconnected_grad(a) * w.sum(),
        {"params": [a]},
        r"no gradient for params\[0\], 'a'",
    ),
    "also updated": (COST, {**XY, "params": [a], "updates": {a: a + 1}}, r"updates change it"),
    "random parameters": (RANDOM, {"updates": {GENERATOR: FOLLOWING}}, r"mean \+ std \* noise"),
    "NaN": (pt.sqr(spoiled).sum(), {}, r"the value of 'spoiled' is NaN or infinite"),
    "no inputs": (COST, {"train": [DATA]}, r"depends on 'y', 'x': .* inputs="),
    "an input too few": (COST, {"inputs": [x], "train": [DATA]}, r"depends on 'y': "),
    "one of a monitor": (a**2, {"monitors": {"m": a * x}}, r"depends on 'x'"),
    "an input too many": (COST, {**XY, "inputs": [x, y, i]}, r"inputs has 'i', but neither"),
    "no variable": (COST, {**XY, "inputs": [x, "y"]}, r"inputs\[1\]='y' is not a symbolic array"),
    "an expression": (
        COST,
        {**XY, "inputs": [x, 2 * y]},
        r"inputs\[1\]=.* is not a symbolic array",
    ),
    "shared input": (COST, {**XY, "inputs": [x, a]}, r"inputs\[1\]=a is not a symbolic array"),
    "a scalar input": (a * scalar, {"inputs": [scalar]}, r"'s', is a scalar"),
    "as many rows as ever": (
        (a * three).sum(),
        {"inputs": [three]},
        r"'v', has always 3 rows.*shape=\(None,\)",
    ),
    "complex input": (
        a * complicated.real.sum(),
        {"inputs": [complicated]},
        r"'z', is of type complex128",
    ),
    "one name": ((a * other - x).sum(), {"inputs": [x, other]}, r"two inputs are called 'x'"),
    "no updates": (COST, {**XY, "updates": {"a": a}}, r"updates: 'a' is no shared variable"),
    "monitors": (COST, {**XY, "monitors": a}, r"neither a dict from names to expressions"),
    "name of a monitor": (COST, {**XY, "monitors": {"a*": a}}, r"'a\*' is no name"),
    "monitors of one name": (COST, {**XY, "monitors": [("m", a), ("m", a)]}, r"two are called 'm'"),
    "a penalty": (COST, {**XY, "weight_l2": 1}, r"no weight_l2=.*cost \+ 0.1"),
    "dropout": (COST, {**XY, "hidden_dropout": 0.5}, r"no hidden_dropout="),
    "of networks": (COST, {**XY, "save_progress": "x"}, r"no save_progress="),
    "a keyword": (COST, {**XY, "learning_rat": 1}, r"minimize got unknown keyword 'learning_rat'"),
    "pretraining": (COST, {**XY, "algo": "layerwise"}, r"algo='layerwise' is for networks"),
    "algorithm": (COST, {**XY, "algo": "adm"}, r"unknown optimizer 'adm'.*'adam'"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("call", [theanets.minimize, theanets.iterminimize])
def test_refused(case, call):
    cost, keywords, message = REFUSED[case]
    with pytest.raises(theanets.ConfigurationError, match=message):
        call(cost, **keywords)


BAD_DATA = {
    "none": (None, r"train=None, but the cost has inputs: x, y"),
    "one array": ([DATA], r"train data has 1 array, but 2 are expected: 'x' \(n,\) float64"),
    "lengths": ([DATA, DATA[:2]], r"differ in length: 'x' has 4, 'y' has 2"),
    "names": ({"x": DATA, "z": DATA}, r"unknown array 'z'.* lacks 'y'"),
    "dimensions": ([DATA, np.ones((4, 2))], r"'y'\) has shape \(4, 2\)"),
    "NaN": ([DATA, DATA * np.nan], r"4 entries that are NaN or infinite.*leave these out"),
    "words": ([DATA, np.array(list("abcd"))], r"dtype <U1; expected 'y'"),
    "empty": ([DATA[:0], DATA[:0]], r"is empty"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_do_not_fit(case):
    data, message = BAD_DATA[case]
    with pytest.raises(theanets.DataError, match=message):
        theanets.minimize(COST, inputs=[x, y], train=data)


def test_monitors_of_nothing():
    with pytest.raises(theanets.UnknownNameError, match="unknown monitor pattern 'b:out'"):
        theanets.minimize(COST, **XY, monitors={"b": 0.1})


@pytest.mark.parametrize("key", ["train", "valid"])
def test_data_that_nothing_takes(key):
    with pytest.raises(theanets.DataError, match=f"{key} has data, but the cost has no inputs"):
        theanets.minimize(pt.sqr(a), **{key: [DATA]})


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("int64", [0.5, 1], r"expected 'i' \(n,\) int64"),
        ("uint8", [3, 256], r"the largest is 256, valid is the range of uint8"),
        ("uint8", [3, -1], r"the smallest is -1"),
        ("bool", [0, 2], r"the largest is 2, valid is the range of bool"),
    ],
)
def test_integers_are_not_rounded_or_wrapped(dtype, value, message):
    index = pt.tensor("i", dtype=dtype, shape=(None,))
    with pytest.raises(theanets.DataError, match=message):
        theanets.minimize((a * index).mean(), inputs=[index], train=[np.array(value)])


@pytest.mark.parametrize("form", ["rows", "columns", "labels"])
def test_indices_are_in_range(form):
    """Out of range, compiled code would end the process."""
    table = pytensor.shared(np.ones((5, 5)), "table")
    cost = {
        "rows": table[i].sum(axis=1),
        "columns": table[:, i].sum(axis=0),
        "labels": -pt.log(pt.special.softmax(a * np.ones((5, 5)), axis=1))[i, i],
    }[form].mean()
    for wrong in (5, -1):
        with pytest.raises(theanets.DataError, match=r"valid is \[0, 5\)"):
            theanets.minimize(cost, inputs=[i], train=[np.array([0, 4, wrong])])


def test_there_is_no_network_to_save(tmp_path, monkeypatch):
    monkeypatch.undo()
    best = theanets.callbacks.SaveBest(tmp_path / "net.st")
    with pytest.raises(theanets.ConfigurationError, match="no network to save"):
        theanets.minimize(pt.sqr(a), callbacks=best)
