"""Residual networks, against the same of PyTorch's modules with the names of torchvision's."""

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from safetensors.numpy import save_file

import theanets
from theanets import models

# So that more than one entry is left for the last mean.
SHAPE = (33, 17, 3)
# Nothing is rewritten, which would take most of the time.
AS_BUILT = Mode(linker="py", optimizer="merge")


def state_of(net, rng):
    """Get weights of torchvision's names that are none of those it starts with."""
    for variable in [*net.params, *net.state]:
        value = rng.normal(size=variable.get_value().shape)
        scale = 0.1 if value.ndim < 4 else value[0].size ** -0.5
        mean = 1 if variable.name.endswith((".scale", ".variance")) else 0
        kept = np.abs(mean + scale * value) if "variance" in variable.name else mean + scale * value
        variable.set_value(kept.astype(variable.dtype))
    return {
        key: v
        for key, v in net.to_torch_state().items()
        if ".conv" not in f".{key}" or "weight" in key
    }


def forward(torch, state, x, depth):
    """Compute the scores with PyTorch's functions, from the formulas of the paper."""
    f = torch.nn.functional
    state = {key: torch.tensor(value) for key, value in state.items()}

    def conv(x, name, stride):
        weight = state[f"{name}.weight"]
        return f.conv2d(x, weight, state.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def norm(x, name):
        running = (state[f"{name}.running_{what}"] for what in ("mean", "var"))
        return f.batch_norm(x, *running, state[f"{name}.weight"], state[f"{name}.bias"])

    counts = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    x = f.max_pool2d(f.relu(norm(conv(x, "conv1", 2), "bn1")), 3, 2, 1)
    for stage, count in enumerate(counts, 1):
        for i in range(count):
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and not i else 1
            skip = x
            if f"{name}.downsample.0.weight" in state:
                skip = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            strides = (stride, 1) if depth < 50 else (1, stride, 1)
            for k, step in enumerate(strides, 1):
                x = norm(conv(x, f"{name}.conv{k}", step), f"{name}.bn{k}")
                x = f.relu(x) if k < len(strides) else x
            x = f.relu(x + skip)
    return f.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"]).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("depth", [18, 50])
def test_scores(depth, rng, tmp_path):
    torch = pytest.importorskip("torch")
    make = dict(shape=SHAPE, width=8, model=theanets.convolution.Regressor, mode=AS_BUILT)
    state = state_of(models.resnet(depth, 5, **make), rng)
    save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, tmp_path / "weights")
    net = models.resnet(depth, 5, tmp_path / "weights", **make)
    x = rng.normal(size=(2, *SHAPE)).astype("f")
    expected = forward(torch, state, torch.tensor(x.transpose(0, 3, 1, 2)), depth)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(net.predict(x), expected, rtol=1e-4, atol=1e-4)
    found = net.to_torch_state(state)
    assert all(np.array_equal(found[key], state[key]) for key in state)


def test_names_and_shapes_are_those_of_torchvision():
    """Those of resnet18(num_classes=10), of which the source says so much."""
    net = models.resnet(18, 10)
    state = net.to_torch_state()
    assert state["layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    assert state["layer3.1.bn2.running_var"].shape == (256,)
    assert state["conv1.weight"].shape == (64, 3, 7, 7) and state["fc.weight"].shape == (10, 512)
    # 11,181,642 of torchvision's, and here a bias of each of 4800 filters.
    assert sum(p.get_value(borrow=True).size for p in net.params) == 11_181_642 + 4800


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_depths_are_numbers_of_layers_with_weights(depth):
    names = [layer.name for layer in models.resnet(depth, 2, width=1).layers]
    convolutions = [n for n in names if n.split("/")[-1].startswith("conv")]
    assert len(convolutions) + names.count("fc") == depth
    stages = [sum(n.startswith(f"layer{i}/") and n.count("/") == 1 for n in names) for i in (1, 4)]
    assert stages == ([2, 2] if depth == 18 else [3, 3])


def test_what_is_refused(rng, tmp_path):
    with pytest.raises(theanets.ConfigurationError, match="depth=20 is not one of 18, 34"):
        models.resnet(20)
    with pytest.raises(theanets.ConfigurationError, match="shape=3 is not that of an image"):
        models.resnet(18, shape=3)
    with pytest.raises(theanets.FileError, match="no file of safetensors"):
        (tmp_path / "other").write_bytes(b"something else")
        models.resnet(18, 5, tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        models.resnet(18, 5, tmp_path / "nothing")
    with pytest.raises(theanets.ConfigurationError, match="neither the path"):
        models.resnet(18, 5, 7)
    state = models.resnet(18, 5, width=4).to_torch_state()
    with pytest.raises(theanets.FileError, match=r"'fc.weight' has the shape \(5, 32\), expected"):
        models.resnet(18, 6, state, width=4)
    with pytest.raises(theanets.FileError, match="'more' have no place"):
        models.resnet(18, 5, {**state, "more": np.zeros(3)}, width=4)
    del state["layer1.0.bn1.weight"]
    with pytest.raises(theanets.FileError, match=r"there is no 'layer1.0.bn1.weight'"):
        models.resnet(18, 5, state, width=4)


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 28, 28), (3, None, 224)])
def test_channels_first_are_refused(shape):
    with pytest.raises(
        theanets.ConfigurationError, match=r"channels first; .*shape=.*224|shape=.28, 28, 1"
    ):
        theanets.models.resnet(shape=shape)
