"""Chains of labels, alignments and draws by PyTorch: NumPy's numbers, and all on the device."""

import numpy as np
import pytensor.tensor as pt
import pytest

import theanets
from theanets import backends
from theanets import rng as streams
from theanets.ops.sequences import chain, ctc
from theanets.training import setup

torch = pytest.importorskip("torch")

from theanets.linkers import torch_draws, torch_setup  # noqa: E402

pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]

RNG = np.random.default_rng(0)
K = 3
MASKS = {
    "prefixes": np.arange(5) < np.array([[5], [2], [1], [4]]),
    "gaps": np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool),
    "no steps": np.ones((4, 0), bool),
    "no series": np.ones((0, 5), bool),
}


def both(op, *arrays):
    """Compute by NumPy and by PyTorch, and see that the latter stays on its device."""
    node = op.make_node(*map(pt.as_tensor, arrays))
    function = torch_setup.pytorch_funcify(op, node=node)
    found = []
    for device in ("cpu", "meta"):
        result = function(*(torch.tensor(array, device=device) for array in arrays))
        found.append(result if isinstance(result, tuple) else (result,))
    assert {x.device.type for x in found[1]} == {"meta"}
    storage = [[None] for _ in node.outputs]
    op.perform(node, list(arrays), storage)
    wanted = [cell[0] for cell in storage]
    for one, other, away, out in zip(*(found[0], wanted, found[1], node.outputs), strict=True):
        assert str(one.dtype) == str(away.dtype) == f"torch.{out.type.dtype}"
        assert tuple(away.shape) == other.shape
    return [x.numpy() for x in found[0]], wanted


def compare(op, *arrays, tolerance=1e-12):
    for one, other in zip(*both(op, *arrays), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def scores(mask, dtype="float64"):
    unary = RNG.normal(size=(*mask.shape, K)).astype(dtype)
    return unary, RNG.normal(size=(K + 1, K + 1)).astype(dtype)


@pytest.mark.parametrize("name", MASKS)
def test_chains(name):
    mask = MASKS[name]
    unary, transition = scores(mask)
    compare(chain.ForwardBackward(), unary, transition, mask)
    direction = RNG.normal(size=unary.shape), RNG.normal(size=(len(mask), K + 1, K + 1))
    compare(chain.Tangent(), unary, transition, mask, *direction, tolerance=1e-9)
    compare(chain.Viterbi(), unary, transition, mask)
    labels = np.where(mask, RNG.integers(K, size=mask.shape), 77)
    compare(chain.PathCounts(), labels, transition, mask)


def test_chains_of_what_is_impossible_and_of_large_scores():
    mask = MASKS["prefixes"]
    unary, transition = scores(mask)
    unary[0, 2] = -np.inf
    transition[K, 1] = transition[1, 2] = -np.inf
    unary[1] *= 1e4
    compare(chain.ForwardBackward(), unary, transition, mask)
    compare(chain.Viterbi(), np.round(unary), np.round(transition), mask)  # first of equals


def test_chains_of_float32_are_computed_in_float64():
    mask = MASKS["gaps"]
    (found, *_), (wanted, *_) = both(chain.ForwardBackward(), *scores(mask, "float32"), mask)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("blank", [0, 2])
def test_alignments(name, blank):
    mask = MASKS[name]
    unary = RNG.normal(size=(*mask.shape, K)) * 3
    symbols = np.array([k for k in range(K) if k != blank])
    labels = symbols[RNG.integers(2, size=(len(mask), 3))]
    labels[1:3, 0] = labels[3:, 1:] = -1
    compare(ctc.Alignments(blank), unary, labels, mask, tolerance=1e-10)
    compare(ctc.Alignments(blank), unary, labels[:, :0], mask, tolerance=1e-10)
    unary[:1, 1:2] = -np.inf
    compare(ctc.Alignments(blank), unary, labels, mask, tolerance=1e-10)
    unary[:1, 1:2] = 1e30
    compare(ctc.Alignments(blank), unary, labels, mask, tolerance=1e-10)


@pytest.mark.parametrize("name", MASKS)
def test_changes_of_alignments(name):
    mask = MASKS[name]
    unary, direction = RNG.normal(size=(2, *mask.shape, K))
    labels = RNG.integers(1, K, size=(len(mask), 2))
    labels[:1, 0] = -1
    compare(ctc.Tangent(0), unary, labels, mask, direction, tolerance=1e-9)


def test_numpy_is_not_asked(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("NumPy was called")

    for kind in (chain.ForwardBackward, chain.PathCounts, chain.Viterbi, ctc.Alignments):
        monkeypatch.setattr(kind, "perform", refuse)
    layers = [3, (4, "rnn"), dict(form="crf", size=3)]
    series, marks = RNG.normal(size=(4, 5, 3)).astype("float32"), RNG.integers(3, size=(4, 5))
    for options, data in (
        (dict(layers=layers), [series, marks]),
        (dict(layers=[*layers[:2], 3], loss="ctc"), [series, 1 + marks[:, :2] % 2]),
    ):
        net = theanets.recurrent.Classifier(rng=1, mode="PYTORCH", **options)
        net.train(data, epochs=1, batch_size=4)
        net.predict(series)


# ---- draws -------------------------------------------------------------------------


def drawing(kind):
    """Get what draws twice as a device does, from a generator of a seed."""
    generator = streams.shared_rng(np.random.default_rng(3), "g")
    node = getattr(streams, kind)(generator, (200, 300), "float32")[1].owner
    draw = torch_draws.on_device(node.op, node, torch.device("cpu"))

    def twice(seed):
        state, first = draw(torch_draws.TensorLike(np.random.default_rng(seed)), (200, 300), 0, 1)
        return first, draw(state, (200, 300), 0, 1)[1]

    return twice


@pytest.mark.parametrize(
    "kind, quantiles", [("normal", [-1.2816, 0, 1.2816]), ("uniform", [0.1, 0.5, 0.9])]
)
def test_draws_of_a_device(kind, quantiles):
    twice = drawing(kind)
    first, second = twice(1)
    assert first.dtype == torch.float32 and first.shape == (200, 300)
    for one, other in zip((first, second), twice(1), strict=True):
        assert torch.equal(one, other)  # as of a run that goes on from a checkpoint
    assert not torch.equal(first, twice(2)[0])
    assert abs(np.corrcoef(first.flatten(), second.flatten())[0, 1]) < 0.02
    for array in (first, second):
        found = np.quantile(array.numpy(), [0.1, 0.5, 0.9])
        np.testing.assert_allclose(found, quantiles, atol=0.02)


def test_draws_with_parameters():
    generator = streams.shared_rng(np.random.default_rng(3), "g")
    for random, wanted in ((pt.random.normal, (3, 0.5)), (pt.random.uniform, (3.25, 0.1443))):
        draws = random(3, 0.5 if random is pt.random.normal else 3.5, size=(100, 99), rng=generator)
        node = draws.owner
        draw = torch_draws.on_device(node.op, node, torch.device("cpu"))
        params = [torch.tensor(v.eval()) for v in node.inputs[2:]]
        _, found = draw(torch_draws.TensorLike(np.random.default_rng(3)), (100, 99), *params)
        np.testing.assert_allclose((found.mean(), found.std()), wanted, atol=0.02)


def test_the_generator_that_is_given_is_not_advanced():
    generator = streams.shared_rng(np.random.default_rng(3), "g")
    node = streams.uniform(generator, (2,), "float32")[1].owner
    draw = torch_draws.on_device(node.op, node, torch.device("cpu"))
    given = torch_draws.TensorLike(np.random.default_rng(3))
    after, found = draw(given, (2,), 0.0, 1.0)
    assert torch.equal(draw(given, (2,), 0.0, 1.0)[1], found)
    assert after.generator.bit_generator.state != given.generator.bit_generator.state


NETS = {
    "noise": (theanets.Classifier, [6, (5, "tanh"), 3], dict(hidden_dropout=0.3, input_noise=0.1)),
    "zoneout": (
        theanets.recurrent.Classifier,
        [6, dict(form="gru", size=4, zoneout=0.2), 3],
        dict(),
    ),
    "crf": (theanets.recurrent.Classifier, [6, (4, "rnn"), dict(form="crf", size=3)], dict()),
}


@pytest.mark.parametrize("name", NETS)
def test_a_step_reads_nothing_from_its_device(name, monkeypatch):
    kind, layers, given = NETS[name]
    series = kind is theanets.recurrent.Classifier
    x = RNG.normal(size=(8, 5, 6) if series else (8, 6)).astype("float32")
    data = [x, RNG.integers(3, size=x.shape[:-1])]
    net = kind(layers, rng=3, mode="PYTORCH")
    function = setup.make_run(net, data, algo="adam", epochs=2, **given).engine.step.function
    # It has shapes, but no numbers: who asks for one fails, as who mixes it with the CPU.
    program, device = function.program, torch.device("meta")
    pairs = zip(function.template.variables, function.variables, strict=True)
    held = {id(v.container.storage): other.get_value(borrow=True) for v, other in pairs}
    values = [array[:5].astype(v.dtype) for array, v in zip(data, net.variables, strict=True)]
    values += [held[id(place.storage)] for place in function.input_storage[len(values) :]]
    arguments = [program.given(k, value, device) for k, value in enumerate(values)]
    monkeypatch.setattr(torch_draws, "generator", lambda device: torch.Generator())
    found = program.run(program.on(device), arguments)
    tensors = [a for a in found if isinstance(a, torch.Tensor)]
    assert {a.device.type for a in tensors} == {"meta"}
    assert len(tensors) > len(net.params)


def test_draws_of_one_axis_know_their_length():
    x = pt.vector(dtype="float32")
    generator = streams.shared_rng(np.random.default_rng(3), "g")
    _, draws = streams.normal(generator, x.shape, "float32")
    function = backends.function([x], draws, mode="PYTORCH")
    wanted = np.random.default_rng(3).standard_normal(4).astype("float32")
    np.testing.assert_array_equal(function(np.zeros(4, "float32")), wanted)
    program = function.program
    taken = program.given(0, np.zeros(4, "float32"), torch.device("meta"))
    place = [taken, torch_draws.TensorLike(np.random.default_rng(3))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_draws, "generator", lambda device: torch.Generator())
        (found,) = program.run(program.on(torch.device("meta")), place)
    assert found.device.type == "meta" and found.shape == (4,)
