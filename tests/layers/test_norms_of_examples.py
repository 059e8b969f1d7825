"""Normalization of each example by itself: RMS, groups of channels, channels."""

import io

import numpy as np
import pytensor
import pytest
from layer_checks import check_gradient, randomize

import theanets
from theanets import recurrent
from theanets.errors import ConfigurationError

SHAPES = [(6,), (5, 6), (3, 4, 6)]
FORMS = {
    "rms_norm": {},
    "group_norm": {"groups": 3},
    "instance_norm": {},
}
CASES = [
    (form, shape) for form in FORMS for shape in SHAPES if form != "instance_norm" or len(shape) > 1
]


def regressor(shape, form, **options):
    layer = dict(form=form, epsilon=0.01, **FORMS[form], **options)
    return theanets.Regressor([shape, layer], dtype="float64", rng=1)


def twin(form, x):
    """Normalize one example, place by place and group by group."""
    rows = x.reshape(-1, x.shape[-1])
    made = np.empty_like(rows)
    if form == "rms_norm":
        for i, row in enumerate(rows):
            made[i] = row / np.sqrt(np.sum(row**2) / len(row) + 0.01)
        return made.reshape(x.shape)
    width = 2 if form == "group_norm" else 1
    for first in range(0, x.shape[-1], width):
        part = rows[:, first : first + width]
        mean = np.sum(part) / part.size
        variance = np.sum((part - mean) ** 2) / part.size
        made[:, first : first + width] = (part - mean) / np.sqrt(variance + 0.01)
    return made.reshape(x.shape)


@pytest.mark.parametrize(("form", "shape"), CASES)
def test_values(form, shape, rng):
    net = regressor(shape, form, activation="tanh")
    randomize(net, rng)
    scale, *shift = (p.get_value() for p in net.params)
    x = rng.normal(3, 2, size=(4, *shape))
    normal = np.stack([twin(form, one) for one in x])
    expected = np.tanh(normal * scale + (shift[0] if shift else 0))
    np.testing.assert_allclose(net.predict(x), expected)
    np.testing.assert_allclose(net.predict(x, training=True), expected)
    assert np.isfinite(net.predict(np.zeros((1, *shape)))).all()
    names = ["out.scale"] if form == "rms_norm" else ["out.scale", "out.shift"]
    assert [p.name for p in net.params] == names
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    np.testing.assert_array_equal(theanets.Regressor.load(file).predict(x), net.predict(x))


@pytest.mark.parametrize(("form", "shape"), CASES)
def test_gradient(form, shape, rng):
    layers = [shape, (6, "tanh"), dict(form=form, **FORMS[form]), 2]
    check_gradient(theanets.Regressor(layers, dtype="float64", rng=1), rng)


@pytest.mark.parametrize("holder", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_steps_that_do_not_exist_do_not_count(form, holder, rng):
    """By a layer of lengths, and by weights of the loss."""
    lengths = [5, 1, 3, 0]
    layers = [3, *([dict(form="lengths", name="n")] if holder else [])]
    layers += [dict(size=6, activation="tanh", inputs="in"), dict(form=form, **FORMS[form]), 2]
    net = recurrent.Regressor(layers, dtype="float64", rng=1, weighted=not holder)
    randomize(net, rng)
    xs = [rng.normal(size=(n, 3)) for n in lengths]
    ys = [rng.normal(size=(n, 2)) for n in lengths]
    plain = recurrent.Regressor([3, *layers[-3:]], dtype="float64", rng=1)
    for mine, other in zip(plain.params, net.params, strict=True):
        mine.set_value(other.get_value())
    found = []
    for more, fill in ((0, 0), (4, np.pi)):
        x, y = np.full((4, 5 + more, 3), fill * 1.0), np.full((4, 5 + more, 2), fill * 2.0)
        for i, n in enumerate(lengths):
            x[i, :n], y[i, :n] = xs[i], ys[i]
        exists = np.arange(5 + more) < np.array(lengths)[:, None]
        data = [x, np.array(lengths, "int32"), y] if holder else [x, y, np.stack([exists] * 2, 2)]
        loss = net.loss(training=True)
        compiled = pytensor.function(net.variables, [loss, *pytensor.grad(loss, net.params)])
        found.append(compiled(*(np.asarray(a, v.dtype) for a, v in zip(data, net.variables))))
        if holder:
            outputs = net.feed_forward(data[:2])
            for i, n in enumerate(lengths[:3]):
                np.testing.assert_allclose(outputs["out:out"][i, :n], plain.predict(xs[i][None])[0])
            assert not outputs["hid2:out"][1, 1:].any()
    for one, other in zip(*found, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_as_in_pytorch(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(1, 2, size=(4, 3, 5, 6))
    for form, module in (
        ("rms_norm", torch.nn.RMSNorm(6, eps=0.01)),
        ("group_norm", torch.nn.GroupNorm(3, 6, eps=0.01)),
        ("instance_norm", torch.nn.InstanceNorm2d(6, eps=0.01, affine=True)),
    ):
        net = regressor((3, 5, 6), form)
        randomize(net, rng)
        module.double()
        with torch.no_grad():
            module.weight.copy_(torch.tensor(net.find("out.scale").get_value()))
            if form == "rms_norm":
                expected = module(torch.tensor(x))
            else:
                module.bias.copy_(torch.tensor(net.find("out.shift").get_value()))
                expected = module(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        np.testing.assert_allclose(net.predict(x), expected.numpy(), rtol=1e-10)


def test_groups_of_one_and_of_all(rng):
    """A group for each channel is `instance_norm`, and one group of units is `layer_norm`."""
    x = rng.normal(size=(4, 5, 6))

    def normal(shape, form, **options):
        return theanets.Regressor([shape, dict(form=form, **options)], dtype="float64")

    each = normal((5, 6), "group_norm", groups=6).predict(x)
    np.testing.assert_allclose(each, normal((5, 6), "instance_norm").predict(x))
    whole = normal((6,), "group_norm").predict(x[0])
    np.testing.assert_allclose(whole, normal((6,), "layer_norm").predict(x[0]))


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        (
            (5, 6),
            dict(form="group_norm", groups=4),
            r"groups=4 does not divide the 6 channels of the input: 6 = 1 \* 4 \+ 2; "
            "expected one of 1, 2, 3, 6",
        ),
        ((5, 6), dict(form="group_norm", groups=7), r"6 = 0 \* 7 \+ 6"),
        ((5, 6), dict(form="group_norm", groups=0), "groups=0 is not an integer of at least 1"),
        ((6,), dict(form="group_norm", groups=6), "1 unit each, which has no variance"),
        ((6,), dict(form="instance_norm"), r"the shape \(6,\) for one example, without such"),
        ((6,), dict(form="rms_norm", epsilon=0), "epsilon=0 is not a positive number"),
        ((6,), dict(form="rms_norm", size=4), r"given the shape \(4,\)"),
    ],
)
def test_refused(shape, layer, message):
    with pytest.raises(ConfigurationError, match=message):
        theanets.Regressor([shape, layer])


def test_series_cannot_be_continued_through_norms_over_their_steps(rng):
    for form in ("group_norm", "instance_norm"):
        net = recurrent.Regressor([3, (4, "rnn"), form, 2])
        with pytest.raises(ConfigurationError, match="normalizes over all steps of a series"):
            net.stream()
    recurrent.Regressor([3, (4, "rnn"), "rms_norm", 2]).stream()


@pytest.mark.linker
def test_linkers_agree(rng):
    layers = [(5, 3), (6, "tanh"), *(dict(form=form, **FORMS[form]) for form in FORMS), 2]
    net = theanets.Regressor(layers, dtype="float64", rng=1)
    randomize(net, rng)
    loss = net.loss(training=True)
    results = [loss, *pytensor.grad(loss, net.params)]
    data = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5, 2))
    found = [
        pytensor.function(net.variables, results, mode=mode)(*data)
        for mode in ("FAST_COMPILE", "NUMBA")
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
