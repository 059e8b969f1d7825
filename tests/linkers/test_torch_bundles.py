"""What programs of PyTorch do with several arrays at once, and with sums of products."""

import numpy as np
import pytensor.tensor as pt
import pytest

from theanets import backends

torch = pytest.importorskip("torch")

from theanets.linkers import torch_bundles  # noqa: E402

pytestmark = [
    pytest.mark.linker,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of PyTorch, about itself
]

F = np.float32
RNG = np.random.default_rng(0)
SHAPES = [(2, 3), (4,), (3, 1, 2)]
X = [pt.tensor(f"x{i}", shape=(None,) * len(s), dtype="float32") for i, s in enumerate(SHAPES)]
Y = [x.clone(name=f"y{i}") for i, x in enumerate(X)]
Z = [x.clone(name=f"z{i}") for i, x in enumerate(X)]
R = pt.scalar("r", dtype="float32")


def momentum(x, y, z):
    mean = R * y + (1 - R) * x
    return [z - F(0.1) * mean, mean]


def adaptive(x, y, z):
    square = R * y + (1 - R) * pt.sqr(x)
    return [z - (R * F(0.5)) * x / (pt.sqrt(square) + F(0.01)), square]


def others(x, y, z):
    sum_ = pt.maximum(abs(x), y) * z
    return [pt.switch(pt.gt(x, R), sum_, y - R * z), pt.tanh(sum_) / (2 + pt.sqr(z) * R)]


def shared_product(x, y, z):
    product = R * x
    return [y + product, z - product * y, pt.sqr(product) + z]


def kept_product(x, y, z):
    product, square = R * x, pt.sqr(z)
    return [y + product, product, y - F(0.5) * square, square, pt.exp(y) - x / z, x / z]


FORMULAS = {f.__name__: f for f in (momentum, adaptive, others, shared_product, kept_product)}


@pytest.fixture
def vectors(monkeypatch):
    """How many arrays were in each vector that was put together, where one can be."""
    made = []

    def joined(arrays):
        made.append(len(arrays))
        return torch_bundles.joined(arrays)

    called = (joined, torch_bundles.parted, torch_bundles.check_shapes)
    monkeypatch.setattr(torch_bundles, "CALLED", called)
    monkeypatch.setattr(torch_bundles, "WORTH", -100)
    return made


def arrays():
    return [np.abs(RNG.normal(size=s)).astype("float32") for _ in "xyz" for s in SHAPES]


def compare(outputs, inputs=(*X, *Y, *Z, R), given=None):
    given = [*arrays(), np.float32(0.3)] if given is None else given
    found, wanted = (
        backends.function(inputs, outputs, mode=mode)(*given)
        for mode in ("PYTORCH", "FAST_COMPILE")
    )
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name, vectors):
    by_array = [FORMULAS[name](*xyz) for xyz in zip(X, Y, Z, strict=True)]
    # By array, by result, and backward, so that the arrays are in no order of the graph's.
    for outputs in (
        [out for k in by_array for out in k],
        [out for k in zip(*by_array) for out in k[::-1]],
    ):
        compare(outputs)
    assert {*vectors} == {3}
    if name in ("momentum", "adaptive"):  # each of which is in one piece
        assert len(vectors) == 2 * len("xyz")


def test_what_mixes_arrays(vectors):
    a, b = (pt.vector(dtype="float32") for _ in "ab")
    crossing = [pt.tanh(a * 2) + pt.exp(b * 2), pt.tanh(b * 2) + pt.exp(a * 2)]
    also = [pt.sqr(crossing[0]) * 3 - b, pt.sqr(crossing[1]) * 3 - a, pt.exp(crossing[0] - a)]
    given = [RNG.normal(size=3).astype("float32") for _ in "ab"]
    compare([*crossing, *also], (a, b), given)


def test_different_numbers_are_not_mixed_up(vectors):
    outputs = []
    for i, (x, y, z) in enumerate(zip(X, Y, Z, strict=True)):
        outputs.append(pt.sqrt(pt.sqr(x) * (i + 1) + y * 0.5) - z / (i + 1) + (i * 0.1) * y)
    compare(outputs)


def test_shapes_that_only_fit_as_vectors_are_refused(vectors):
    x, y = ([pt.tensor3(dtype="float32") for _ in range(3)] for _ in "xy")
    outputs = [pt.tanh(pt.sqr(a) * 2 + b) - pt.exp(a) * b for a, b in zip(x, y, strict=True)]
    function = backends.function([*x, *y], outputs, mode="PYTORCH")
    fitting = [np.ones((2, 3, 4), "float32") for _ in range(6)]
    function(*fitting)
    with pytest.raises(ValueError, match="roadcast"):
        function(*fitting[:5], np.ones((3, 2, 4), "float32"))


def test_parts_of_a_vector_are_it():
    like = [torch.zeros(shape) for shape in SHAPES]
    whole = torch.arange(16.0)
    parts = torch_bundles.parted(whole, like)
    assert [tuple(part.shape) for part in parts] == SHAPES
    assert torch_bundles.joined(parts) is whole
    changed = [parts[0], parts[1] + 0, parts[2]]
    for others_ in (changed, parts[::-1], parts[:2], [*parts, parts[0]]):
        copy = torch_bundles.joined(others_)
        assert copy is not whole
        np.testing.assert_array_equal(copy, torch.cat([p.reshape(-1) for p in others_]))


def test_biases():
    x, w, b = pt.matrix(dtype="float32"), pt.matrix(dtype="float32"), pt.vector(dtype="float32")
    given = [RNG.normal(size=s).astype("float32") for s in ((5, 3), (3, 4), (4,))]
    product = x @ w
    compare([product + b], (x, w, b), given)
    compare([b + product, product * 2], (x, w, b), given)
    function = backends.function([x, w, b], b + product, mode="PYTORCH")
    with pytest.raises(ValueError, match="roadcast"):
        function(*given[:2], given[2][:1])


def test_results_stay_as_they_were(vectors):
    outputs = [momentum(*xyz)[0] for xyz in zip(X, Y, Z, strict=True)]
    function = backends.function([*X, *Y, *Z, R], outputs, mode="PYTORCH")
    first = function(*arrays(), np.float32(0.5))
    kept = [array.copy() for array in first]
    function(*arrays(), np.float32(0.5))
    for one, other in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_arrays_that_come_in_another_order(vectors):
    # As gradients do: that of the last layer comes first.
    gradients = [pt.tanh(X[2])]
    for x in (X[1], X[0]):
        gradients.insert(0, pt.exp(x) * gradients[0].sum())
    by_array = [momentum(*gyz) for gyz in zip(gradients, Y, Z, strict=True)]
    compare([out for k in zip(*by_array) for out in k])
    assert vectors == [3, 3, 3]
