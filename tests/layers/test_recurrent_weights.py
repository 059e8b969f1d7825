"""How weights of recurrent layers are drawn: by matrix, by gate, and so that nothing explodes."""

import numpy as np
import pytest

import theanets
from theanets.init import random_orthogonal

#: Options of each form; the widths of the gates of each matrix for the input, and for a state of
#: n units; then those whose gates are not square.
N, IN = 6, 4
FORMS = {
    "rnn": ({}, {"xh": [N]}, {"hh": [N]}, {}),
    "rrnn": ({}, {"xh": [N], "xr": [N]}, {"hh": [N]}, {}),
    "rrnn-vector": ({"rate": "vector"}, {"xh": [N]}, {"hh": [N]}, {}),
    "mrnn": ({"factors": 3}, {"xh": [N], "xf": [3]}, {}, {"hf": (N, 3), "fh": (3, N)}),
    "lstm": ({}, {"xh": [N] * 4}, {"hh": [N] * 4}, {}),
    "gru": ({}, {"w": [N] * 3}, {"hh": [N], "hr": [N], "hz": [N]}, {}),
    "gru-after": ({"reset_after": True}, {"w": [N] * 3}, {"hh": [N], "hr": [N], "hz": [N]}, {}),
    "mut1": ({}, {"xh": [N], "xr": [N], "xz": [N]}, {"hh": [N], "hr": [N]}, {}),
    "scrn": (
        {"context_size": 2},
        {"w": [N, 2]},
        {"hh": [N], "ho": [N]},
        {"sh": (2, N), "so": (2, N)},
    ),
    "clockwork": ({"periods": (1, 2)}, {"xh": [N]}, {"hh": [N]}, {}),
    "bcrnn": ({"num_modules": 2}, {"xh": [N]}, {"hh": [N]}, {}),
    "cell": (
        {"step": lambda cell, x, h: x[0] * cell.dot(h, "hh") + x[1], "blocks": 2},
        {"xh": [N] * 2},
        {"hh": [N]},
        {},
    ),
}
BOTH = [(form, two) for form in FORMS for two in (False, True)]


def drawn(form, two=False, size=N, rng=0, inputs=IN, **draws):
    """Draw a layer of a form, or a bidirectional one of two; get its matrices by name."""
    options, *groups = FORMS[form]
    spec = {"form": form.split("-")[0], "size": size, "name": "h", **options, **draws}
    if two:
        worker = {"form": spec.pop("form"), **options}
        spec = {"form": "bidirectional", "worker": worker, "size": 2 * size, "name": "h", **draws}
    net = theanets.recurrent.Regressor([inputs, spec, 2], rng=rng, dtype="float64")
    halves = ("h_fw", "h_bw") if two else ("h",)
    found = [{k: net.find(half, k).get_value() for g in groups for k in g} for half in halves]
    assert len(found) == 1 or not np.allclose(*(next(iter(f.values())) for f in found))
    return found


def gates(value, widths):
    assert value.shape[1] == sum(widths)
    return np.split(value, np.cumsum(widths)[:-1], axis=1)


def spectral(value):
    return np.abs(np.linalg.eigvals(value)).max()


@pytest.mark.parametrize("form, two", BOTH)
def test_without_options_states_have_orthogonal_weights(form, two):
    _, series, square, others = FORMS[form]
    for found in drawn(form, two):
        for name, widths in square.items():
            for gate in gates(found[name], widths):
                np.testing.assert_allclose(gate @ gate.T, np.eye(N), atol=1e-12)
        for name, shape in others.items():
            short = min(shape)
            w = found[name] if found[name].shape[0] == short else found[name].T
            np.testing.assert_allclose(w @ w.T, np.eye(short), atol=1e-12)
    (found,) = drawn(form, size=6, inputs=400)
    for name, widths in series.items():
        for gate in gates(found[name], widths):
            assert gate.std() == pytest.approx(np.sqrt(2 / (400 + gate.shape[1])), rel=0.1)


@pytest.mark.parametrize("inputs", [IN, N])
@pytest.mark.parametrize("form, two", [c for c in BOTH if FORMS[c[0]][2]])
def test_diagonal_is_for_each_gate_of_the_states(form, two, inputs):
    """Whether or not the input's matrices are square, they are drawn as ever."""
    _, series, square, others = FORMS[form]
    plain = drawn(form, two, inputs=inputs, std=0.3)
    for found, normal in zip(drawn(form, two, inputs=inputs, diagonal=0.75), plain, strict=True):
        for name, widths in square.items():
            for gate in gates(found[name], widths):
                np.testing.assert_array_equal(gate, 0.75 * np.eye(N))
        for name in [*series, *others]:
            assert found[name].shape == normal[name].shape
            assert (found[name] != 0).all()


@pytest.mark.parametrize("form, two", [c for c in BOTH if FORMS[c[0]][2]])
def test_radius_is_for_each_gate_of_the_states(form, two):
    _, series, square, others = FORMS[form]
    for found in drawn(form, two, radius=0.8):
        for name, widths in square.items():
            for gate in gates(found[name], widths):
                assert spectral(gate) == pytest.approx(0.8)
                # Scaled, not orthogonal.
                assert np.linalg.norm(gate, 2) > 0.81
        for name in [*series, *others]:
            assert (found[name] != 0).all()


@pytest.mark.parametrize("form, two", BOTH)
def test_sparsity_mean_and_std_are_for_all_weights(form, two):
    _, series, square, _others = FORMS[form]
    for found in drawn(form, two, sparsity=0.5, mean=10, std=0.1):
        for name, value in found.items():
            widths = {**series, **square}.get(name, [value.shape[1]])
            for gate in gates(value, widths):
                assert (gate == 0).sum() == round(0.5 * gate.size)
                np.testing.assert_allclose(gate[gate != 0], 10, atol=0.6)


@pytest.mark.parametrize("form", FORMS)
def test_each_matrix_has_options_of_its_own(form):
    """With its name as a suffix an option is for one matrix only, of the input too."""
    _, series, square, others = FORMS[form]
    for name in [*series, *square, *others]:
        (plain,) = drawn(form)
        widths = {**series, **square}.get(name, [plain[name].shape[1]])
        (found,) = drawn(form, **{f"diagonal_{name}": -2.0})
        for gate in gates(found[name], widths):
            np.testing.assert_array_equal(gate, -2 * np.eye(*gate.shape))
        (found,) = drawn(form, **{f"sparsity_{name}": 0.25})
        for gate in gates(found[name], widths):
            assert (gate == 0).sum() == round(0.25 * gate.size)
        assert all((found[other] != 0).all() for other in found if other != name)
        (found,) = drawn(form, **{f"std_{name}": 0.0, f"mean_{name}": 0.5})
        np.testing.assert_array_equal(found[name], np.full_like(found[name], 0.5))
        if name in square:
            (found,) = drawn(form, **{f"radius_{name}": 3.0})
            assert all(spectral(g) == pytest.approx(3) for g in gates(found[name], widths))
        else:
            with pytest.raises(ValueError, match=f"layer 'h', parameter '{name}': radius=3.0"):
                drawn(form, **{f"radius_{name}": 3.0})


def test_a_suffix_comes_before_the_general_option():
    (found,) = drawn("lstm", diagonal=1, diagonal_hh=0.5)
    np.testing.assert_array_equal(found["hh"], np.hstack([0.5 * np.eye(N)] * 4))


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"form": "lstm", "diagonal_hx": 1}, r"'diagonal_hx' \(did you mean 'diagonal_\w\w'\?\)"),
        ({"form": "rnn", "sparsity_b": 0.5}, r"unknown keyword 'sparsity_b'.*mean_b.*std_b"),
        ({"form": "rnn", "radius_b": 0.5}, r"unknown keyword 'radius_b'"),
        ({"form": "mrnn", "diagonal": 1}, r"unknown keyword 'diagonal'.*diagonal_hf"),
        ({"form": "mrnn", "radius": 1}, r"unknown keyword 'radius'"),
        ({"form": "ff", "diagonal_hh": 1}, r"unknown keyword 'diagonal_hh'.*diagonal_w"),
        ({"form": "ff", "radius": 0.5}, r"parameter 'w': radius=0.5 needs a square matrix"),
        ({"form": "bidirectional", "worker": "gru", "std_xx": 1}, r"'std_xx'.*diagonal_hr"),
        (
            {"form": "rnn", "sparsity": 1.5},
            r"parameter 'xh': sparsity=1.5 is not a number in \[0, 1\)",
        ),
        ({"form": "rnn", "activation": "prelu", "std_leak": 1}, r"unknown keyword 'std_leak'"),
    ],
)
def test_options_that_are_for_no_parameter_are_refused(spec, message):
    with pytest.raises(theanets.ConfigurationError, match=f"layer 'h.*{message}"):
        theanets.recurrent.Regressor([IN, {"size": N, "name": "h", **spec}, 2])


@pytest.mark.parametrize(
    "spec, message",
    [
        (dict(form="conv2", size=2, filter_size=2, diagonal=1), "'diagonal'.*sparsity_w"),
        (dict(form="conv2", size=2, filter_size=2, radius_w=1), "'radius_w'"),
        (dict(form="flat", std=1), "unknown keyword 'std'; valid: none"),
        (dict(form="pool2", sparsity=0.5), "unknown keyword 'sparsity'; valid: none"),
    ],
)
def test_options_of_images_that_have_no_meaning_are_refused(spec, message):
    with pytest.raises(theanets.ConfigurationError, match=message):
        theanets.convolution.Regressor([(5, 5, 1), spec, "flat", 2])


def test_an_option_of_zero_asks_for_nothing():
    """The original's documents list such defaults."""
    spec = dict(form="mrnn", size=N, diagonal=0, radius=0, sparsity=0, name="h")
    value = theanets.recurrent.Regressor([IN, spec, 2], rng=1).find("h", "fh").get_value()
    plain = dict(form="mrnn", size=N, name="h")
    expected = theanets.recurrent.Regressor([IN, plain, 2], rng=1).find("h", "fh").get_value()
    np.testing.assert_array_equal(value, expected)


def test_filters_are_sparse(rng):
    spec = dict(form="conv1", size=4, filter_size=3, sparsity=0.5)
    net = theanets.recurrent.Regressor([IN, spec, 2])
    w = net.find("hid1", "w").get_value()
    assert (w == 0).sum() == w.size // 2


# ---- the default ---------------------------------------------------------------------------


@pytest.mark.parametrize("rows, cols", [(5, 5), (7, 3), (2, 6), (1, 1)])
def test_orthogonal_matrices(rows, cols):
    w = random_orthogonal(rows, cols, rng=1, dtype="float64")
    assert w.shape == (rows, cols)
    short = w if rows <= cols else w.T
    np.testing.assert_allclose(short @ short.T, np.eye(len(short)), atol=1e-12)


def test_orthogonal_matrices_are_uniform():
    """Any two entries are alike: of mean 0 and variance 1 / n, in all corners of the matrix."""
    many = np.array([random_orthogonal(3, 3, rng=seed, dtype="float64") for seed in range(4000)])
    np.testing.assert_allclose(many.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose((many**2).mean(axis=0), 1 / 3, atol=0.03)
    assert np.mean(np.linalg.det(many) > 0) == pytest.approx(0.5, abs=0.05)


def test_what_a_relu_layer_holds_does_not_grow_by_itself():
    """For 300 seeds, each of 100 steps, the state grows by what comes in, and not more."""
    x = np.random.default_rng(0).normal(size=(4, 100, 7))
    for seed in range(300):
        net = theanets.recurrent.Regressor([7, (10, "rnn"), 3], rng=seed, dtype="float64")
        xh, hh = (net.find("hid1", name).get_value() for name in ("xh", "hh"))
        pushed = x @ xh
        h, bound = np.zeros((4, 10)), np.zeros(4)
        for t in range(100):
            h = np.maximum(0, pushed[:, t] + h @ hh)
            bound += np.linalg.norm(pushed[:, t], axis=1)
            assert (np.linalg.norm(h, axis=1) <= bound * (1 + 1e-9)).all()
        assert np.abs(h).max() < 100, seed


WORKERS = ("rnn", "rrnn", "mrnn", "gru", "scrn", "clockwork", "bcrnn")


@pytest.mark.parametrize("form", [*WORKERS, "lstm", "mut1", "two", "stacked"])
def test_no_form_explodes_with_relu(form):
    """All forms, those of both directions and layers upon layers: 15 seeds, 100 steps each."""
    options = FORMS[form][0] if form in FORMS else {}
    spec = {"form": form, "size": 10, "name": "h", **options}
    if form not in ("lstm", "mut1"):
        spec["activation"] = "relu"
    layers = [7, spec, 3]
    if form == "two":
        spec.update(form="bidirectional", worker="rnn")
    if form == "stacked":
        spec["form"] = "rnn"
        layers = [7, (10, "rnn"), (10, "rnn"), spec, 3]
    x = np.random.default_rng(0).normal(size=(4, 100, 7))
    net = theanets.recurrent.Regressor(layers, mode="FAST_COMPILE")
    for seed in range(15):
        for mine, other in zip(
            net.params, theanets.recurrent.Regressor(layers, rng=seed).params, strict=True
        ):
            mine.set_value(other.get_value())
        found = net.feed_forward(x)["h:out"]
        assert np.abs(found).max() < 300, (form, seed)
