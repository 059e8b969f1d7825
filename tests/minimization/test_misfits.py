"""Arrays that do not fit each other: the message names them, whatever compiles."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets

RNG = np.random.default_rng(0)
x, y = pt.matrix("x"), pt.vector("y")
W, B = pytensor.shared(np.ones(4), "w"), pytensor.shared(np.ones(3), "b")
NET = theanets.Regressor([2, (3, "tanh"), 1], rng=1, dtype="float64")


def follow(z, w):
    return z * w


CASES = {
    "a product": (
        pt.sqr(x @ W - y).mean(),
        [RNG.normal(size=(10, 3)), RNG.normal(size=10)],
        r"train data: (?i:dot) cannot work on 'x' of shape \(10, 3\) and 'w' of shape \(4,\)",
    ),
    "a sum": (
        pt.sqr(pt.exp(x) + B).mean() + y.sum(),
        [RNG.normal(size=(10, 4)), RNG.normal(size=10)],
        r"(?i:add) cannot work on Exp\(x\) of shape \(10, 4\) and 'b' of shape \(3,\)",
    ),
    "a layer": (
        NET.outputs(replace={"in": pt.exp(x)})["out:out"].sum() + y.sum(),
        [RNG.normal(size=(10, 4)), RNG.normal(size=10)],
        r"cannot work on Exp\(x\) of shape \(10, 4\): .*expected \(None, 2\)",
    ),
    "constants of all rows": (
        pt.sqr(x @ W - y - np.zeros(10)).mean(),
        [RNG.normal(size=(9, 4)), RNG.normal(size=9)],
        r"of shape \(9,\) and .* of shape \(10,\)",
    ),
    "a loop": (
        pytensor.scan(
            follow, outputs_info=[x[0]], non_sequences=[W], n_steps=2, return_updates=False
        ).sum()
        + y.sum(),
        [RNG.normal(size=(9, 3)), RNG.normal(size=9)],
        r"cannot work on .*'w' of shape \(4,\)",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("call", [theanets.minimize, theanets.iterminimize])
def test_the_message_names_the_arrays_and_their_shapes(case, call):
    cost, data, message = CASES[case]
    with pytest.raises(theanets.DataError, match=message) as caught:
        list(call(cost, inputs=[x, y], train=data, epochs=1))
    # The complaint of what was compiled is not lost.
    assert caught.value.__cause__ is not None


@pytest.mark.linker
@pytest.mark.parametrize("mode", ["NUMBA", "CVM"])
def test_it_does_whatever_compiles(mode):
    cost, data, message = CASES["a product"]
    with pytest.raises(theanets.DataError, match=message):
        theanets.minimize(cost, inputs=[x, y], train=data, epochs=1, mode=mode)


def test_it_says_whose_arrays_they_are():
    good = [RNG.normal(size=(10, 4)), RNG.normal(size=10)]
    cost, bad, _ = CASES["a product"]
    with pytest.raises(theanets.DataError, match=r"valid data: (?i:dot) cannot work on 'x'"):
        theanets.minimize(cost, inputs=[x, y], train=good, valid=bad, epochs=1)
    with pytest.raises(theanets.DataError, match=r"^(?i:add) cannot .*'w' of shape \(4,\) and 'b'"):
        theanets.minimize(pt.sqr(W + B).sum())


def test_other_errors_stay_what_they_are():
    def fails(run):
        raise ValueError("of the user's own")

    good = [RNG.normal(size=(10, 4)), RNG.normal(size=10)]
    with pytest.raises(ValueError, match=r"^of the user.s own$"):
        theanets.minimize(
            CASES["a product"][0], inputs=[x, y], train=good, epochs=1, callbacks=[fails]
        )
    # Batches are gone when something fails.
    with pytest.raises((ValueError, AssertionError)) as caught:
        theanets.minimize(
            CASES["a product"][0], inputs=[x, y], train=iter([CASES["a product"][1]]), epochs=1
        )
    assert not isinstance(caught.value, theanets.DataError)
