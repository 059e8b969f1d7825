"""Networks of PyTorch's modules: the same outputs, and the parameters back in their state."""

import copy

import numpy as np
import pytest
from torch_modules_cases import CLOSE, shaken

import theanets

torch = pytest.importorskip("torch")
nn = torch.nn

IMAGES, SERIES = (0, 2, 3, 1), (0, 2, 1)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def outputs(module, x):
    with torch.no_grad():
        found = module(torch.tensor(x, dtype=next(module.parameters(), torch.zeros(1)).dtype))
    return (found[0] if isinstance(found, tuple) else found).numpy()


def check(module, shape, batch, axes=None, back=None, **options):
    """Compare outputs, and those of a module like it that gets the state back."""
    module = shaken(module)
    net = theanets.from_torch(module, shape, **options)
    x = np.random.default_rng(1).normal(size=batch).astype("f")
    y = outputs(module, x)
    ours = net.predict(x if axes is None else x.transpose(axes))
    expected = y if back is None else y.transpose(back)
    np.testing.assert_allclose(ours, expected, **CLOSE)
    other = shaken(copy.deepcopy(module))
    for value in other.parameters():
        value.data.zero_()
    if len(list(module.children())):
        found = net.to_torch_state(module.state_dict())
        other.load_state_dict({k: torch.tensor(v) for k, v in found.items()})
        np.testing.assert_allclose(outputs(other, x), y, **CLOSE)
    return net


def test_linear_maps_with_activations():
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.3), nn.Linear(7, 4, bias=False))
    net = check(module, None, (6, 5))
    assert [layer.name for layer in net.layers] == ["in", "0", "2", "3"]
    assert type(net) is theanets.Regressor and net.layers[2].rate == 0.3
    found = net.to_torch_state()
    np.testing.assert_array_equal(found["0.weight"], module[0].weight.detach().numpy())
    np.testing.assert_array_equal(found["3.bias"], np.zeros(4))
    assert list(net.to_torch_state(module.state_dict())) == list(module.state_dict())
    net.find("3", "b").set_value(np.ones(4, "f"))
    with pytest.raises(theanets.ConfigurationError, match=r"'3\.bias' is not in it"):
        net.to_torch_state(module.state_dict())
    with pytest.raises(theanets.ConfigurationError, match=r"'4\.weight' is nothing here"):
        net.to_torch_state([*found, "4.weight"])


@pytest.mark.parametrize(
    "activation",
    [
        *("ReLU", "Sigmoid", "Tanh", "SiLU", "Mish", "SELU", "Softsign", "Hardsigmoid", "ELU"),
        *("CELU", "Softplus", "GELU", "Hardtanh"),
    ],
)
def test_activations(activation):
    check(nn.Sequential(nn.Linear(3, 4), getattr(nn, activation)()), None, (8, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.GELU(approximate="tanh"),
        lambda: nn.Hardtanh(0, 1),
        lambda: nn.Softmax(dim=1),
        lambda: nn.Softmax(dim=-1),
        lambda: nn.LogSoftmax(dim=1),
        lambda: nn.PReLU(4),
        lambda: nn.GLU(),
    ],
)
def test_activations_with_options(make):
    check(nn.Sequential(nn.Linear(3, 4), make(), nn.Identity()), None, (8, 3))


def test_an_activation_that_is_there_twice():
    tanh = nn.Tanh()
    check(nn.Sequential(nn.Linear(3, 4), tanh, nn.Linear(4, 4), tanh), None, (8, 3))


def test_norms_of_weights_are_computed():
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    linear.parametrizations.weight.original0.data *= 3
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    found = theanets.from_torch(nn.Sequential(linear)).predict(x)
    np.testing.assert_allclose(found, outputs(linear, x), **CLOSE)


def test_activations_before_after_and_of_each_other():
    module = nn.Sequential(nn.Tanh(), nn.Linear(3, 4), nn.ReLU(), nn.Tanh(), nn.PReLU(4), nn.ReLU())
    check(module, (3,), (8, 3))


@pytest.mark.parametrize(
    "make, shape",
    [
        (lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2)), (9, 8)),
        (lambda: nn.Conv2d(2, 3, 3, dilation=(1, 2), bias=False), (9, 8)),
        pytest.param(
            lambda: nn.Conv2d(2, 3, (4, 3), padding="same"),
            (9, 8),
            marks=pytest.mark.filterwarnings("ignore:Using padding='same' with even"),
        ),
        (lambda: nn.ConvTranspose2d(2, 3, (3, 2), stride=2, padding=1, output_padding=1), (5, 4)),
        (lambda: nn.Conv2d(2, 4, 3, groups=2, bias=False), (9, 8)),
        (lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2, bias=False), (5, 4)),
        (lambda: nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"), (9, 8)),
        (lambda: nn.Conv2d(2, 3, 3, padding="same", padding_mode="replicate"), (9, 8)),
        (lambda: nn.ReflectionPad2d((1, 2, 0, 3)), (9, 8)),
        (lambda: nn.ZeroPad2d(1), (9, 8)),
        (lambda: nn.AvgPool2d(3, stride=2, padding=1), (9, 8)),
        (lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), (8, 9)),
        (lambda: nn.MaxPool2d(3, stride=2, padding=1), (9, 8)),
        (lambda: nn.MaxPool2d(2, ceil_mode=True), (9, 8)),
        (lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (8, 10)),
        (lambda: nn.AvgPool2d((3, 2)), (9, 8)),
        (lambda: nn.AvgPool2d(3, padding=1, count_include_pad=False), (9, 8)),
        (lambda: nn.AdaptiveAvgPool2d((3, 2)), (9, 8)),
        (lambda: nn.AdaptiveMaxPool2d((None, 2)), (9, 8)),
        (lambda: nn.Upsample(scale_factor=2), (3, 4)),
        (lambda: nn.BatchNorm2d(2, eps=0.01, momentum=0.3), (3, 4)),
        (lambda: nn.GroupNorm(2, 2), (3, 4)),
        (lambda: nn.InstanceNorm2d(2, affine=True), (3, 4)),
        (lambda: nn.Dropout2d(0.2), (3, 4)),
        (lambda: nn.Softmax(dim=1), (3, 4)),
        (lambda: nn.Softmax2d(), (3, 4)),
        (lambda: nn.PReLU(2), (3, 4)),
    ],
)
def test_images(make, shape):
    module = nn.Sequential(nn.Conv2d(2, 2, 1), make())
    net = check(module, (2, *shape), (4, 2, *shape), IMAGES, IMAGES)
    assert type(net) is theanets.convolution.Regressor


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv1d(2, 3, 4, stride=2, padding=1),
        lambda: nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1),
        lambda: nn.MaxPool1d(2),
        lambda: nn.ReplicationPad1d((2, 1)),
        lambda: nn.AvgPool1d(3, stride=2),
        lambda: nn.BatchNorm1d(2),
        lambda: nn.InstanceNorm1d(2, affine=True),
    ],
)
def test_series_with_channels_first(make):
    check(nn.Sequential(nn.Conv1d(2, 2, 3), make()), None, (4, 2, 13), SERIES, SERIES)


@pytest.mark.parametrize("norm", [lambda: nn.LayerNorm(6), lambda: nn.RMSNorm(6, eps=1e-6)])
def test_flat_images_and_what_follows(norm):
    """The weights of what follows a flat image are in our order, its channels last."""
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.BatchNorm1d(36),
        nn.PReLU(36),
        nn.Dropout(),
        nn.Linear(36, 6),
        norm(),
        nn.Linear(6, 2),
    )
    net = check(module, (1, 8, 10), (4, 1, 8, 10), IMAGES)
    assert net.find("4", "mean").get_value().shape == (36,)
    weight = module[7].weight.detach().numpy()
    assert not np.array_equal(net.find("7", "w").get_value(), weight.T)
    np.testing.assert_array_equal(net.to_torch_state()["7.weight"], weight)


def test_flat_vectors_without_channels_keep_their_order():
    check(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 4), (5, 3, 4))
    check(nn.Sequential(nn.Linear(4, 2), nn.Flatten(), nn.Linear(6, 2)), (3, 4), (5, 3, 4))
    check(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), None, (5, 12))


@pytest.mark.parametrize(
    "rest, back",
    [
        ([nn.Flatten(), nn.Linear(3, 2)], None),
        ([], IMAGES),
        ([nn.Conv2d(3, 2, 1)], IMAGES),
    ],
)
def test_global_pooling(rest, back):
    """Modules see two axes of length 1 behind the channels."""
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), *rest)
    net = check(module, None, (4, 1, 8, 7), IMAGES, back)
    assert net.find("0", "w").get_value().shape == (3, 1, 3, 3)


def test_momentum(rng):
    """What stays of the running statistics is what their momentum lets come in."""
    module = shaken(nn.Sequential(nn.BatchNorm1d(3, momentum=0.3))).double()
    net = theanets.from_torch(module)
    x = rng.normal(size=(8, 3))
    # One batch with all examples; the parameters hardly move.
    net.train([x, x], [x, x], algo="sgd", learning_rate=1e-12, batch_size=8, epochs=1)
    module.train()(torch.tensor(x))
    state = net.to_torch_state()
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(state[f"0.{name}"], getattr(module[0], name), rtol=1e-6)


def test_nested_modules():
    module = nn.Sequential()
    module.add_module("body", nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    module.add_module("head", nn.Linear(4, 2))

    class Own(nn.Sequential):
        pass

    net = check(Own(module), None, (5, 3))
    assert [layer.name for layer in net.layers] == ["in", "0/body/0", "0/head"]
    assert set(net.to_torch_state()) == set(Own(module).state_dict())


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "kind, options",
    [
        ("RNN", {}),
        ("RNN", dict(nonlinearity="relu", bias=False)),
        ("LSTM", dict(num_layers=2, dropout=0.2)),
        ("GRU", {}),
        ("GRU", dict(num_layers=2, bidirectional=True)),
        ("LSTM", dict(bidirectional=True)),
    ],
)
def test_recurrences(kind, options, batch_first):
    module = getattr(nn, kind)(3, 4, batch_first=batch_first, **options)
    shaken(module)
    net = theanets.from_torch([module])
    x = np.random.default_rng(1).normal(size=(5, 6, 3)).astype("f")
    with torch.no_grad():
        given = torch.tensor(x if batch_first else x.transpose(1, 0, 2))
        y, h = module(given)
    y = y.numpy() if batch_first else y.numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(net.predict(x), y, **CLOSE)
    both = 2 if options.get("bidirectional") else 1
    last = (h[0] if isinstance(h, tuple) else h)[-both:]
    short = theanets.from_torch([module, "last"])
    np.testing.assert_allclose(short.predict(x), np.concatenate(list(last.numpy()), 1), **CLOSE)
    other = getattr(nn, kind)(3, 4, batch_first=batch_first, **options).eval()
    state = {k.partition(".")[2]: torch.tensor(v) for k, v in net.to_torch_state().items()}
    if "bias" in options:
        state = {k: v for k, v in state.items() if k.startswith("weight")}
    other.load_state_dict(state)
    with torch.no_grad():
        np.testing.assert_allclose(other(given)[0], module(given)[0], **CLOSE)


def test_embedded_series_classified_by_their_end():
    words = shaken(nn.Embedding(7, 3))
    lstm, out = (shaken(m) for m in (nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 3)))
    net = theanets.from_torch([words, lstm, "last", out], model=theanets.recurrent.Classifier)
    x = np.random.default_rng(0).integers(7, size=(4, 6))
    with torch.no_grad():
        scores = out(lstm(words(torch.tensor(x)))[0][:, -1])
    np.testing.assert_allclose(net.predict_logit(x), scores, **CLOSE)
    np.testing.assert_array_equal(net.predict(x), scores.argmax(1))
    short = net.predict_logit([x[0, :4], x[1]])[0]
    np.testing.assert_allclose(short, net.predict_logit(x[:1, :4])[0], **CLOSE)
    assert {k.partition(".")[0] for k in net.to_torch_state()} == {"0", "1", "3"}


def test_classifiers_train_on(rng):
    module = shaken(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2), nn.LogSoftmax(1)))
    net = theanets.from_torch(module, model=theanets.Classifier, rng=1)
    x = rng.normal(size=(64, 2)).astype("f")
    np.testing.assert_allclose(np.log(net.predict_proba(x)), outputs(module, x), **CLOSE)
    y = (x[:, 0] > 0).astype("i")
    net.train([x, y], epochs=30, learning_rate=0.05)
    assert net.score(x, y) > 0.95
    state = {k: torch.tensor(v) for k, v in net.to_torch_state().items()}
    module.load_state_dict(state)
    np.testing.assert_array_equal(outputs(module, x).argmax(1), net.predict(x))


def test_networks_of_modules_are_saved(tmp_path, rng):
    module = shaken(nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.PReLU(4)), nn.Linear(4, 2)))
    net = theanets.from_torch(module, loss="mae", rng=7, mode="FAST_COMPILE")
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    x = rng.normal(size=(5, 3)).astype("f")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    assert loaded.seed == 7 and loaded.losses[0].to_spec() == net.losses[0].to_spec()
    assert type(loaded.losses[0]) is theanets.losses.MeanAbsoluteError


def test_types():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    net = check(module, None, (5, 3))
    assert net.dtype == "float64" and net.to_torch_state()["0.bias"].dtype == np.float64
    assert theanets.from_torch(module, dtype="float32").dtype == "float32"
    half = nn.Sequential(nn.Linear(3, 2)).bfloat16()
    expected = half[0].weight.detach().float().numpy()
    np.testing.assert_array_equal(theanets.from_torch(half).find("0", "w").get_value(), expected.T)
