"""PyTorch computes the same as NumPy: our operations one by one, and networks of them.

But for the last test nothing is compiled: functions are called as they are.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrent_cases import CELLS, Case, close

import theanets
from theanets import backends
from theanets import rng as streams
from theanets.ops.windows.convolution import Convolution, FilterGradient, ImageGradient
from theanets.ops.windows.pooling import MaxGather, MaxPool, MaxScatter, SumPool, SumSpread
from theanets.ops.windows.window import SAME, Window

torch = pytest.importorskip("torch")

from theanets.linkers import torch_setup  # noqa: E402

pytestmark = [
    pytest.mark.linker,
    # Of PyTorch, about itself and about constants of PyTensor.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
]


@pytest.fixture(autouse=True, scope="module")
def not_compiled():
    with torch.compiler.set_stance("force_eager"):
        yield


# ---- recurrences -----------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_recurrences(cell):
    case = Case(cell)
    reverse = cell in ("lstm", "clock", "mrnn")
    for options in (dict(reverse=reverse), dict(reverse=not reverse, limit=2)):
        expected = case.run(*case.fast(**options), mode="FAST_COMPILE")
        close(case.run(*case.fast(**options), mode="PYTORCH"), expected, 1e-11)


@pytest.mark.parametrize("steps, lengths", [(1, (1, 0)), (0, (0, 0)), (3, ())])
def test_short_recurrences(steps, lengths):
    case = Case("lstm", steps=steps, lengths=lengths)
    case.arguments[1] = case.arguments[1].astype("int64")
    expected = case.run(*case.fast(), mode="FAST_COMPILE")
    close(case.run(*case.fast(), mode="PYTORCH"), expected, 1e-11)


def test_a_recurrence_of_which_only_the_output_has_a_gradient():
    case = Case("lstm")
    expected = case.run(*case.fast(), names=["out"], ends=False, mode="FAST_COMPILE")
    found = case.run(*case.fast(), names=["out"], ends=False, mode="PYTORCH")
    close(found, expected, 1e-11)


def test_recurrences_are_not_done_by_numpy(monkeypatch):
    case = Case("gru")
    outputs, final = case.fast()
    results = [*outputs.values(), *final]
    compiled = pytensor.function(case.inputs, results, mode="PYTORCH")

    def refuse(*arguments):
        raise AssertionError("NumPy was called")

    monkeypatch.setattr("theanets.ops.recurrent.operation.RecurrentForward.perform", refuse)
    compiled(*case.arguments)


# ---- windows ---------------------------------------------------------------------


def compare(op, *arguments, tolerance=1e-12):
    """Compare the function for PyTorch with ``perform``; ints are constants."""
    inputs = [pt.as_tensor(a) if isinstance(a, int) else pt.as_tensor(a).type() for a in arguments]
    given = [a for a in arguments if not isinstance(a, int)]
    symbols = [i for i, a in zip(inputs, arguments) if not isinstance(a, int)]
    results = []
    for mode in ("FAST_COMPILE", "PYTORCH"):
        results.append(pytensor.function(symbols, op(*inputs), mode=mode)(*given))
    assert results[1].dtype == results[0].dtype
    np.testing.assert_allclose(*results[::-1], rtol=tolerance, atol=tolerance)
    return results[0]


WINDOWS = [
    Window((2, 3)),
    Window((1, 2), stride=(1, 2), dilation=(1, 2)),
    Window((3, 2), stride=(2, 3), low=(1, 0), high=(2, 1)),
    Window((2, 2), stride=(2, 1), dilation=(2, 3), low=(SAME, SAME), high=(SAME, SAME)),
    Window((3, 3), stride=(3, 2), low=(SAME, SAME), high=(SAME, SAME)),
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_convolutions(window, dtype, tolerance, rng):
    # The stride of some does not divide: entries behind the last window have no part.
    x = rng.normal(size=(3, 6, 7, 2)).astype(dtype)
    filters = rng.normal(size=(*window.size, 2, 4)).astype(dtype)
    y = compare(Convolution(window), x, filters, tolerance=tolerance)
    y = rng.normal(size=y.shape).astype(dtype)
    compare(FilterGradient(window), x, y, tolerance=tolerance)
    compare(ImageGradient(window), filters, y, 6, 7, tolerance=tolerance)
    assert compare(Convolution(window), x[:0], filters).size == 0


@pytest.mark.parametrize(("groups", "wide"), [(2, 6), (0, 4)])
def test_convolutions_in_groups(groups, wide, rng):
    window = WINDOWS[-1]
    x = rng.normal(size=(3, 6, 7, 4))
    filters = rng.normal(size=(*window.size, 4 // (groups or 4), wide))
    y = compare(Convolution(window, groups), x, filters)
    compare(FilterGradient(window, groups), x, y)
    compare(ImageGradient(window, groups), filters, y, 6, 7)


def test_images_that_a_window_does_not_fit():
    x = pt.tensor4(dtype="float64")
    for op in (Convolution(Window((3, 3)))(x, np.ones((3, 3, 1, 1))), MaxPool(Window((3, 3)))(x)):
        run = pytensor.function([x], op, mode="PYTORCH")
        with pytest.raises(ValueError, match="does not fit an axis of 2 entries"):
            run(np.ones((1, 4, 2, 1)))


@pytest.mark.parametrize("window", [*WINDOWS, Window((0, 0)), Window((2, 0), stride=(2, 1))])
@pytest.mark.parametrize("kind", ["different", "equal", "nan", "inf"])
def test_pooling(window, kind, rng):
    x = rng.normal(size=(3, 6, 7, 2))
    if kind != "different":
        # Of equal ones the first counts, and padding is no entry.
        x = rng.integers(2, size=x.shape).astype(float)
    if kind == "nan":
        x[rng.random(x.shape) < 0.2] = np.nan
    if kind == "inf":
        x[rng.random(x.shape) < 0.8] = -np.inf
    y = compare(MaxPool(window), x)
    y = rng.normal(size=y.shape)
    compare(MaxGather(window), x, rng.normal(size=x.shape))
    compare(MaxScatter(window), x, y)
    compare(SumPool(window), rng.normal(size=x.shape))
    compare(SumSpread(window), y, 6, 7)


# ---- what PyTensor's linker does not know ----------------------------------------

ENDS = st.one_of(st.none(), st.integers(-7, 7))
SLICES = st.builds(slice, ENDS, ENDS, st.one_of(st.none(), st.integers(-3, 3).filter(bool)))


@given(st.tuples(st.one_of(st.integers(-4, 3), SLICES), SLICES))
def test_slices(index):
    x = np.arange(40.0).reshape(4, 5, 2)
    symbol = pt.tensor3(dtype="float64")
    expressions = {
        "get": symbol[index],
        "set": symbol[index].set(np.arange(2.0)),
        "inc": symbol[index].inc(symbol[index] * 2),
    }
    found = pytensor.function([symbol], list(expressions.values()), mode="PYTORCH")(x)
    changed, added = x.copy(), x.copy()
    changed[index] = np.arange(2.0)
    added[index] += x[index] * 2
    for name, ours, theirs in zip(expressions, found, [x[index], changed, added]):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_functions_of_entries():
    x = pt.lvector()
    outputs = [pt.eq(x, 2), x % 3]
    equal, rest = pytensor.function([x], outputs, mode="PYTORCH")(np.array([1, 2, -4]))
    assert equal.tolist() == [False, True, False]
    assert rest.tolist() == [1, 2, 2]


def test_shapes():
    x = pt.tensor3(dtype="float64")
    value = np.arange(24.0).reshape(2, 3, 4)
    outputs = [
        x.reshape((x.shape[0], 12)),
        x.reshape((x.shape[0] * x.shape[1], x.shape[2])),
        x.reshape((x.shape[0] * 3, 4)),
        x[:0].reshape((0, x.shape[1])),
    ]
    found = pytensor.function([x], outputs, mode="PYTORCH")(value)
    assert [a.shape for a in found] == [(2, 12), (6, 4), (6, 4), (0, 3)]


@pytest.mark.parametrize("kind, method", [("normal", "standard_normal"), ("uniform", "random")])
def test_draws_are_those_of_numpy(kind, method):
    x = pt.matrix(dtype="float32")
    shared = streams.shared_rng(np.random.default_rng(3), "r")
    following, draws = getattr(streams, kind)(shared, x.shape, "float32")
    function = backends.function([x], draws, {shared: following}, mode="PYTORCH")
    twin = np.random.default_rng(3)
    for shape in ((2, 3), (4, 1)):
        found = function(np.zeros(shape, "float32"))
        np.testing.assert_array_equal(found, getattr(twin, method)(shape).astype("float32"))
    state = shared.get_value(borrow=True).bit_generator.state
    assert state == twin.bit_generator.state


# ---- devices ---------------------------------------------------------------------


def on_another_device(op, *arguments):
    """Run the function of an Op with arrays on a device that has shapes, but no numbers.

    Mixing it with the CPU fails, as it does with a GPU.
    """
    node = op.make_node(*(pt.as_tensor(a) for a in arguments))
    function = torch_setup.pytorch_funcify(op, node=node)
    tensors = [a if isinstance(a, int) else torch.as_tensor(a).to("meta") for a in arguments]
    found = function(*tensors)
    found = found if isinstance(found, tuple) else (found,)
    assert {a.device.type for a in found} == {"meta"}
    wanted = [out.type.ndim for out in node.outputs]
    assert [a.ndim for a in found] == wanted


def test_windows_stay_on_the_device():
    for window in WINDOWS:
        x, filters = np.ones((3, 6, 7, 2)), np.ones((*window.size, 2, 4))
        y = np.ones((3, *window.positions((6, 7)), 4))
        on_another_device(Convolution(window), x, filters)
        on_another_device(FilterGradient(window), x, y)
        on_another_device(ImageGradient(window), filters, y, 6, 7)
        on_another_device(MaxPool(window), x)
        on_another_device(MaxGather(window), x, x)
        on_another_device(MaxScatter(window), x, y[..., :2])
        on_another_device(SumPool(window), x)
        on_another_device(SumSpread(window), y, 6, 7)


@pytest.mark.parametrize("cell", CELLS)
def test_recurrences_stay_on_the_device(cell):
    case = Case(cell)
    outputs, final = case.fast(limit=2)
    node = final[0].owner
    on_another_device(node.op, *case.arguments)
    gradient = pytensor.grad(sum(o.sum() for o in [*outputs.values(), *final]), case.z)
    values = pytensor.function(case.inputs, gradient.owner.inputs, mode="FAST_COMPILE")
    on_another_device(gradient.owner.op, *values(*case.arguments))


# ---- networks --------------------------------------------------------------------

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=7)
IMAGES = RNG.normal(size=(7, 6, 6, 2)).astype("float32")
SERIES = RNG.normal(size=(7, 5, 3)).astype("float32")
MARKS = RNG.integers(3, size=(7, 5))
WEIGHTS = (np.arange(5) < np.array([5, 3, 1, 4, 5, 2, 2])[:, None]).astype("float32")
CONVOLUTIONS = [
    (6, 6, 2),
    dict(form="conv2", size=3, filter_size=3, border_mode="same"),
    dict(form="pool2", pool_size=2),
    dict(form="conv2_transposed", size=2, filter_size=2, stride=2),
    dict(form="pool2", pool_size=3, mode="mean"),
    "flat",
    3,
]
SYMBOLS = [dict(form="symbols", shape=(5,), classes=3), ("embedding", 2), (4, "lstm"), 3]

Classifier, Series = theanets.Classifier, theanets.recurrent.Classifier
NETS = {
    "convolution": (Classifier, CONVOLUTIONS, {}, [IMAGES, LABELS]),
    "embedding": (Series, SYMBOLS, {}, [MARKS, MARKS]),
    "both": (
        Series,
        [3, dict(form="bidirectional", size=4, worker="gru"), 3],
        dict(weighted=True),
        [SERIES, MARKS, WEIGHTS],
    ),
    "crf": (Series, [3, (4, "rnn"), dict(form="crf", size=3)], {}, [SERIES, MARKS]),
    "ctc": (Series, [3, (4, "rnn"), 3], dict(loss="ctc"), [SERIES, 1 + MARKS[:, :2] % 2]),
}


def same(kind, layers, options, data, **train):
    """Train with PyTorch and without compilation, and compare parameters and predictions."""
    nets = []
    train = dict(algo="rmsprop", learning_rate=0.01, epochs=2, batch_size=4) | train
    for mode in ("PYTORCH", "FAST_COMPILE"):
        net = kind(layers, rng=3, mode=mode, **options)
        net.train(data, **train)  # the last batch is smaller
        nets.append(net)
    for ours, theirs in zip(*(net.params for net in nets)):
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(*(net.predict(data[0]) for net in nets), atol=1e-4)
    losses = [net.evaluate(data)["loss"] for net in nets]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_networks(name):
    same(*NETS[name])


def test_a_network_with_dropout_and_noise():
    layers = [(6, 6, 2), "flat", dict(form="dropout", rate=0.2), (8, "tanh"), 3]
    penalties = dict(hidden_dropout=0.3, input_noise=0.1, contractive=0.01)
    same(Classifier, layers, {}, [IMAGES, LABELS], **penalties)


@pytest.mark.slow
def test_a_compiled_network():
    """PyTensor's own functions are compiled by PyTorch, ours are not."""
    net = Classifier([*CONVOLUTIONS[:3], "flat", 3], rng=3, mode="FAST_COMPILE")
    with torch.compiler.set_stance("default"):
        function = pytensor.function(net.inputs, net.outputs()["out:out"], mode="PYTORCH")
        np.testing.assert_allclose(function(IMAGES), net.predict_proba(IMAGES), atol=1e-5)
