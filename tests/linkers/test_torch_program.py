"""The programs that PyTorch runs: the same numbers as uncompiled, expressions and networks."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import theanets
from theanets import backends
from theanets.training import setup

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]

x, y = pt.matrix("x", dtype="float32"), pt.matrix("y", dtype="float32")
i, v = pt.imatrix("i"), pt.vector("v", dtype="float32")
n, p = pytensor.shared(np.int64(2), "n"), pytensor.shared(np.float32(0.3), "p")

EXPRESSIONS = {
    "numbers": [p * 2 + pt.log(p), n + 1, n / 4, pt.switch(p > 0.2, n, -n), pt.eq(n, 2)],
    "numbers and tensors": [2 * x * p, 1 - x, p / (x + 9), x**2.0, pt.switch(x > p, x, 0)],
    "functions of numbers": [pt.expm1(p), pt.log1p(p), pt.sqrt(p), pt.exp(p), pt.log(p + n)],
    "equal": [f(pt.cast(i, "float32"), 1) for f in (pt.le, pt.lt, pt.ge, pt.gt, pt.eq, pt.neq)],
    "compared": [x <= p, pt.eq(i, n), pt.neq(i, i[:, 0][:, None]), pt.lt(i, p), pt.ge(x, i)],
    "types": [i / 2, i * p, i + n, i // 2, x + i, pt.cast(i, "float32") * p, -i, pt.sqr(i)],
    "largest": [pt.maximum(x, p), pt.minimum(0, x), pt.maximum(x, y), pt.maximum(i, 1)],
    "chosen": [pt.switch(i, x, y), pt.switch(x > 0, 1, 0), pt.switch(p > 0, x, y)],
    "lengths": [x.shape[0] * x.shape[1], x.shape, pt.prod(x.shape), x / x.shape[0], x.size],
    "made": [pt.alloc(p, x.shape[0], 3), pt.alloc(v, 2, x.shape[1]), pt.zeros_like(x), pt.eye(3)],
    "ranges": [pt.arange(x.shape[1]) * 2, x[: x.shape[0] // 2], x[n - 1 :, ::-1], x[i[0] % 2]],
    "set": [pt.set_subtensor(x[: n - 1], p), pt.inc_subtensor(x[:, 1], v[:2]), x[:, n - 1]],
    "turned": [x.T, v[:, None] + v[None], x.dimshuffle(1, "x", 0), x.reshape((x.size, 1))],
    "products": [x @ y.T, v @ v, x @ v, x.sum(), x.sum(axis=0), x.mean(axis=1), x.std()],
    "with a bias": [x @ y.T + y.sum(axis=1), pt.cumsum(v) + y.T @ x],
    "stacked": [pt.stack([p, x.sum(), n]), pt.concatenate([x, y]), pt.as_tensor([p, 1.0])],
    "zero up to a number": [
        pt.switch(x <= 0, 0, x),
        pt.switch(x <= 0.25, 0, y) + pt.switch(y <= -0.25, 0, x),
        # Not by the kernel: of another type, spread, of a number that is no float32, or also read.
        pt.switch(i <= 0, 0, x),
        pt.switch(x[:, 0][:, None] <= 0, 0, y),
        pt.switch(x <= np.float64(0.1), 0, x),
        pt.switch(x <= 0.5, 0, y) * pt.cast(x <= 0.5, "float32"),
        pt.switch(x <= 0, 1, y),
        pt.switch(x <= 0, y, 0),
    ],
    "largest places": [
        pt.argmax(x, axis=1),
        pt.argmax(x),
        pt.argmax(x.dimshuffle(0, "x", 1), axis=[0, 2]),
        pt.argmax(pt.switch(x > 0, np.nan, x), axis=0),
        pt.argmax(x * 0, axis=1),
    ],
    "functions": [
        pt.sigmoid(x),
        pt.special.softmax(x, axis=1),
        pt.erf(x),
        pt.sign(x),
        pt.softplus(x),
    ],
}
GIVEN = np.random.default_rng(0)
ARRAYS = {
    x: GIVEN.normal(size=(2, 3)).astype("float32"),
    y: GIVEN.normal(size=(2, 3)).astype("float32"),
    i: GIVEN.integers(-2, 3, size=(2, 3)).astype("int32"),
    v: GIVEN.normal(size=3).astype("float32"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    outputs = EXPRESSIONS[name]
    found, wanted = (
        backends.function([*ARRAYS], outputs, mode=mode)(*ARRAYS.values())
        for mode in ("PYTORCH", "FAST_COMPILE")
    )
    for one, other, output in zip(found, wanted, outputs, strict=True):
        assert type(one) is np.ndarray
        assert one.dtype == np.asarray(other).dtype == output.dtype
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)


def test_what_is_no_number_is_chosen_as_by_others():
    function = backends.function([x, y], pt.switch(x <= 0, 0, y), mode="PYTORCH")
    special = np.array([[np.nan, np.inf, -np.inf, 1, -1, 0]], "float32")
    given = np.array([[1, np.nan, np.nan, np.inf, -np.inf, 7]], "float32")
    np.testing.assert_array_equal(function(special, given), [[1, np.nan, 0, np.inf, 0, 0]])
    assert "threshold_backward" in source(function)
    with pytest.raises(ValueError, match="lengths"):
        function(special, given[:, :1])


def source(function):
    """Get the names that a program refers to."""
    return function.program.on(torch.get_default_device()).__code__.co_names


def test_axes_that_do_not_fit_are_refused_at_each_shape():
    function = backends.function([x, y], x * y, mode="PYTORCH")
    for rows in (2, 3):
        for _ in range(2):
            function(np.ones((rows, 3), "float32"), np.ones((rows, 3), "float32"))
        with pytest.raises(ValueError, match="roadcast"):
            function(np.ones((rows, 3), "float32"), np.ones((1, 3), "float32"))


def test_arguments_that_pytorch_does_not_take():
    function = backends.function([x], x + 1, mode="PYTORCH")
    given = np.arange(6, dtype="float32").reshape(2, 3)
    fixed = given.copy()
    fixed.flags.writeable = False
    for array in (given[:, ::-1], given.T, fixed, given[::2]):
        np.testing.assert_array_equal(function(array), array + 1)


def test_results_are_not_the_arrays_of_variables():
    shared = pytensor.shared(np.ones(3, "float32"))
    results = [shared, shared[None], pt.alloc(shared, 1, 3), shared.reshape((3, 1))]
    for array in backends.function([], results, mode="PYTORCH")():
        array[...] = 7
    np.testing.assert_array_equal(shared.get_value(), 1)


def test_what_pytorch_cannot_do_is_said_when_it_is_compiled():
    with pytest.raises(NotImplementedError, match="No PyTorch conversion"):
        backends.function([x], pt.linalg.expm(x), mode="PYTORCH")


# ---- training --------------------------------------------------------------------

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(23, 6)).astype("float32")
LABELS = RNG.integers(3, size=23)
SERIES = [RNG.normal(size=(length, 2)).astype("float32") for length in RNG.integers(1, 6, 23)]
MARKS = [RNG.integers(3, size=len(series)) for series in SERIES]
LAYERS = [6, (5, "tanh"), dict(form="batch_norm"), dict(form="dropout", rate=0.2), 3]

RUNS = {
    "adam": (theanets.Classifier, LAYERS, (VECTORS, LABELS), dict(hidden_l1=0.01)),
    "nadam": (theanets.Classifier, [*LAYERS[:2], 3], (VECTORS, LABELS), dict(max_gradient_norm=1)),
    "rprop": (theanets.Classifier, [*LAYERS[:2], 3], (VECTORS, LABELS), dict(batch_size=23)),
    "adadelta": (theanets.recurrent.Classifier, [2, (4, "rnn"), 3], (SERIES, MARKS), {}),
    "sgd": (
        theanets.Regressor,
        [6, (4, "sigmoid"), 6],
        (VECTORS, VECTORS[:, ::-1]),
        dict(momentum=0.5, nesterov=True, learning_rate_schedule="cosine", learning_rate=0.1),
    ),
    "l-bfgs": (theanets.Classifier, [6, (4, "tanh"), 3], (VECTORS, LABELS), {}),
}


def trained(mode, name, **options):
    kind, layers, data, given = RUNS[name]
    net = kind(layers, rng=3, mode=mode)
    options = {"epochs": 3, "batch_size": 8, **given, **options}
    net.train(list(data), algo=name, **options)
    return net


def assert_same(one, other, tolerance=2e-5):
    for ours, theirs in zip([*one.params, *one.state], [*other.params, *other.state], strict=True):
        assert type(ours.get_value()) is np.ndarray
        assert ours.get_value().dtype == theirs.get_value().dtype
        np.testing.assert_allclose(ours.get_value(), theirs.get_value(), 2e-4, tolerance)
    for column in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(one.history[column], other.history[column], rtol=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_runs(name):
    assert_same(trained("PYTORCH", name), trained("FAST_COMPILE", name))


def test_streams_of_batches():
    nets = []
    for mode in ("PYTORCH", "FAST_COMPILE"):
        nets.append(theanets.Classifier(LAYERS, rng=3, mode=mode))
        parts = ((VECTORS[k : k + 5], LABELS[k : k + 5]) for k in (0, 5, 10, 15) * 2)
        nets[-1].train(parts, [VECTORS, LABELS], epochs=2, train_batches=4)
    assert_same(*nets)


def test_streams_leave_parameters_on_another_device(monkeypatch):
    # The CPU stands for one.
    from theanets.linkers import torch_function

    monkeypatch.setattr(torch_function, "is_far", lambda device: True)
    went, nets, given = [], [], torch_function.Program.given
    parameters = {"hid1.w", "hid1.b", "out.w", "out.b"}

    def noted(program, place, value, device):
        if isinstance(value, np.ndarray):
            went.append(program._graph.inputs[place].name)
        return given(program, place, value, device)

    monkeypatch.setattr(torch_function.Program, "given", noted)
    for mode in ("PYTORCH", "FAST_COMPILE"):
        net = theanets.Classifier(LAYERS, rng=3, mode=mode)

        def batches(net=net):
            for k in range(12):
                if k == 7:
                    out = net.find("out", "b")
                    out.set_value(np.asarray(out.get_value()) + np.float32(1))
                yield VECTORS[k : k + 5], LABELS[k : k + 5]

        options = dict(epochs=1, train_batches=12, algo="adam", freeze="hid1.b")
        for _ in net.itertrain(batches(), [VECTORS, LABELS], **options):
            assert all(type(p.get_value(borrow=True)) is np.ndarray for p in net.params)
        assert all(type(p.get_value(borrow=True)) is np.ndarray for p in net.params)
        nets.append(net)
    np.testing.assert_allclose(*(net.history["train_acc"] for net in nets))
    assert parameters <= {*went}
    # Each went there at the first of some batches, of which there are at most five lots.
    assert all(went.count(name) < 8 for name in parameters)
    assert_same(*nets)


def test_what_is_changed_between_epochs_counts():
    nets = []
    for mode in ("PYTORCH", "FAST_COMPILE"):
        net = theanets.Classifier(LAYERS, rng=3, mode=mode)
        for epoch, _ in enumerate(net.itertrain([VECTORS, LABELS], epochs=3, batch_size=8)):
            value = net.params[0].get_value(borrow=True)
            assert type(value) is np.ndarray
            if epoch == 0:
                value *= 0.5  # in place
            else:
                net.params[1].set_value(net.params[1].get_value() + 1)
        nets.append(net)
    assert_same(*nets)


def test_values_that_were_read_stay_as_they_were():
    net = theanets.Classifier(LAYERS, rng=3, mode="PYTORCH")
    read, kept = [], []
    for _ in net.itertrain([VECTORS, LABELS], epochs=3, batch_size=8):
        read.append(net.params[0].get_value(borrow=True))
        kept.append(read[-1].copy())
    for one, other in zip(read, kept, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(kept[0], kept[-1])


def test_a_run_that_is_resumed(tmp_path):
    straight = trained("PYTORCH", "adam", epochs=4)
    path = tmp_path / "run"
    trained("PYTORCH", "adam", epochs=2, checkpoint=path)
    resumed = trained("PYTORCH", "adam", epochs=4, checkpoint=path)
    for ours, theirs in zip(resumed.params, straight.params, strict=True):
        np.testing.assert_array_equal(ours.get_value(), theirs.get_value())


def test_an_interruption_keeps_whole_updates():
    class Interrupts(theanets.callbacks.Callback):
        def batch(self, run):
            raise KeyboardInterrupt

    net = trained("PYTORCH", "adam", callbacks=[Interrupts()])
    other = trained("FAST_COMPILE", "adam", callbacks=[Interrupts()])
    assert net.history.stop_reason == other.history.stop_reason
    assert_same(net, other)


def test_limits_of_updates_are_exact():
    one, other = (trained(mode, "adam", max_updates=5) for mode in ("PYTORCH", "FAST_COMPILE"))
    assert one.history["updates"] == other.history["updates"] == [3, 5]
    assert_same(one, other)


# ---- devices ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nadam", "sgd"])
def test_a_step_stays_on_its_device(name):
    kind, layers, data, given = RUNS[name]
    net = kind(layers, rng=3, mode="PYTORCH")
    function = setup.make_run(net, list(data), algo=name, epochs=2, **given).engine.step.function
    # It has shapes, but no numbers; what lies elsewhere does not mix with it, as with a GPU.
    program, device = function.program, torch.device("meta")
    pairs = zip(function.template.variables, function.variables, strict=True)
    held = {id(v.container.storage): other.get_value(borrow=True) for v, other in pairs}
    values = [array[:5].astype(v.dtype) for array, v in zip(data, net.variables, strict=True)]
    values += [held[id(place.storage)] for place in function.input_storage[len(values) :]]
    arguments = [program.given(k, value, device) for k, value in enumerate(values)]
    tensors = [a for a in arguments if isinstance(a, torch.Tensor)]
    assert {a.device.type for a in tensors} == {"meta"}
    found = program.run(program.on(device), arguments)
    assert {a.device.type for a in found if isinstance(a, torch.Tensor)} == {"meta"}
    # Rates and counts need no kernel.
    assert sum(isinstance(a, torch.Tensor) for a in found) == len(tensors) - 1


def test_a_device_that_is_not_there():
    net = theanets.Classifier([6, 3], rng=3, mode="PYTORCH")
    net.train([VECTORS, LABELS], epochs=1, device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(theanets.ConfigurationError, match=r"device='cuda'.*there is cpu"):
            net.train([VECTORS, LABELS], epochs=1, device="cuda")
