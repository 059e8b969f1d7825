"""Networks that are known by name, written to files that others read, and read from them."""

import json

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from safetensors.numpy import load_file

import theanets
from theanets import models

# Nothing is rewritten, which would take most of the time.
AS_BUILT = Mode(linker="py", optimizer="merge")
CONFIG = {
    "activation_function": "gelu",
    "attn_pdrop": 0.1,
    "embd_pdrop": 0.2,
    "layer_norm_epsilon": 0.01,
    "model_type": "gpt2",
    "n_head": 2,
    "resid_pdrop": 0.3,
    "summary_type": "cls_index",
}


def gpt2(rng, config=None, blocks=2, hidden=32, **options):
    """Make a random network of a checkpoint."""
    shapes = {"wte.weight": (13, 8), "wpe.weight": (12, 8), "ln_f.weight": (8,), "ln_f.bias": (8,)}
    for i in range(blocks):
        for name, shape in (
            *((f"ln_{k}", (8, 8)) for k in (1, 2)),
            ("attn.c_attn", (8, 24)),
            ("attn.c_proj", (8, 8)),
            ("mlp.c_fc", (8, hidden)),
            ("mlp.c_proj", (hidden, 8)),
        ):
            shapes[f"h.{i}.{name}.weight"] = shape[1:] if name.startswith("ln") else shape
            shapes[f"h.{i}.{name}.bias"] = shape[1:]
    weights = {k: rng.normal(scale=0.5, size=shape).astype("f") for k, shape in shapes.items()}
    options = {"heads": 2, "config": config, "mode": AS_BUILT, **options}
    return models.gpt2(weights, **options), weights


def test_a_checkpoint_is_written_as_it_was_read(rng, tmp_path):
    net, weights = gpt2(rng, CONFIG)
    models.save_gpt2(net, tmp_path / "new" / "folder")
    found = load_file(tmp_path / "new" / "folder" / "model.safetensors")
    assert set(found) == {f"transformer.{key}" for key in weights}
    for key, value in weights.items():
        np.testing.assert_array_equal(found[f"transformer.{key}"], value)
    config = json.loads((tmp_path / "new" / "folder" / "config.json").read_text())
    assert config.items() >= {**CONFIG, "n_embd": 8, "n_layer": 2, "n_positions": 12}.items()
    assert config["vocab_size"] == 13 and config["n_inner"] == 32


@pytest.mark.parametrize("config", [None, CONFIG, {"activation_function": "gelu_pytorch_tanh"}])
def test_what_is_read_again_gives_the_same(config, rng, tmp_path):
    net, _ = gpt2(rng, config, blocks=3, hidden=20)
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    x = rng.integers(13, size=(2, 7))
    for i, each in enumerate((net, loaded)):
        models.save_gpt2(each, tmp_path / str(i))
        again = models.gpt2(tmp_path / str(i), mode=AS_BUILT)
        np.testing.assert_array_equal(again.predict_logit(x), net.predict_logit(x))
        assert [layer.name for layer in again.layers] == [layer.name for layer in net.layers]
        assert again.metadata["gpt2"].items() >= (config or {}).items()
        # Without an entry, others would drop a tenth.
        for key in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
            assert again.metadata["gpt2"][key] == (config or {}).get(key, 0.0)


def test_other_models_and_types(rng, tmp_path):
    model = theanets.recurrent.Regressor
    net, _ = gpt2(rng, model=model, dtype="float64")
    models.save_gpt2(net, tmp_path)
    assert load_file(tmp_path / "model.safetensors")["transformer.wte.weight"].dtype == "float64"
    again = models.gpt2(tmp_path, model=model, mode=AS_BUILT)
    assert again.dtype == "float64"


@pytest.mark.slow
def test_what_was_trained_is_written(rng, tmp_path):
    net, _ = gpt2(rng, CONFIG)
    x = rng.integers(13, size=(4, 6))
    net.train([x, (x + 1) % 13], epochs=2, freeze="out.b")
    models.save_gpt2(net, tmp_path)
    again = models.gpt2(tmp_path, mode=AS_BUILT)
    np.testing.assert_array_equal(again.predict_logit(x), net.predict_logit(x))
    net.find("out", "b").set_value(np.full(13, 1e-6, "f"))
    with pytest.raises(theanets.ConfigurationError, match=r"'out.b' is not zeros.*freeze='out.b'"):
        models.save_gpt2(net, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def changed(net, name, **options):
    """Get a network of the same layers, one of them with other options."""
    layers = [layer.to_spec() for layer in net.layers]
    next(spec for spec in layers if spec["name"] == name).update(options)
    return type(net)(layers, mode=AS_BUILT)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("h/1/attn", {"window": 3}, "layer 'h/1/attn': window=3; such a model has window=None"),
        ("h/1/attn", {"dropout": 0.5}, "'h/1/attn': dropout=0.5; such a model has dropout=0.0"),
        ("h/1/ln_1", {"epsilon": 0.1}, "'h/1/ln_1': epsilon=0.1"),
        ("h/0/mlp/c_fc", {"activation": "selu"}, "'h/0/mlp/c_fc' has the activation 'selu'"),
        ("h/1/mlp/c_fc", {"activation": "relu"}, "'h/1/mlp/c_fc': activation='relu'"),
        ("h/1/sum_1", {"inputs": ["/h/1/attn", "/h/1/ln_1"]}, "'h/1/sum_1': inputs="),
    ],
)
def test_what_gpt2_has_not_is_refused(name, options, message, rng, tmp_path):
    net = changed(gpt2(rng)[0], name, **options)
    with pytest.raises(theanets.ConfigurationError, match=message):
        models.save_gpt2(net, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_networks_are_refused(rng, tmp_path):
    for net in (theanets.Classifier([3, 4, 2]), theanets.recurrent.Classifier([3, (4, "gru"), 2])):
        with pytest.raises(
            theanets.ConfigurationError, match=r"no layer 'wte', which models\.gpt2"
        ):
            models.save_gpt2(net, tmp_path / "new")
        with pytest.raises(theanets.ConfigurationError, match=r"has stages of \[\] blocks"):
            models.save_resnet(net, tmp_path / "new")
    net = gpt2(rng)[0]
    net.add_layer(dict(form="dropout", name="more", rate=0.1, inputs="ln_f"))
    with pytest.raises(theanets.ConfigurationError, match="has a layer 'more', of which such a"):
        models.save_gpt2(net, tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(theanets.FileError, match="file"):
        models.save_gpt2(gpt2(rng)[0], tmp_path / "file")


@pytest.mark.slow
def test_transformers_reads_what_is_written(rng, tmp_path):
    transformers, torch = (pytest.importorskip(name) for name in ("transformers", "torch"))
    x = rng.integers(13, size=(2, 9))
    for i, config in enumerate((None, CONFIG)):
        net, _ = gpt2(rng, config, hidden=20)
        models.save_gpt2(net, tmp_path / str(i))
        theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / str(i)).eval()
        with torch.no_grad():
            expected = theirs(torch.tensor(x)).logits.numpy()
        np.testing.assert_allclose(net.predict_logit(x), expected, rtol=1e-4, atol=1e-4)


# ---- residual networks -------------------------------------------------------------------


@pytest.mark.parametrize("depth", [18, 50])
def test_biases_of_convolutions_go_into_the_means_behind(depth, rng, tmp_path):
    make = dict(shape=(33, 17, 3), width=2, model=theanets.convolution.Regressor, mode=AS_BUILT)
    net = models.resnet(depth, 3, **make)
    for variable in [*net.params, *net.state]:
        value = rng.uniform(0.5, 1.5, size=variable.get_value().shape)
        start = value if variable.name.endswith((".scale", ".variance")) else value - 1
        variable.set_value((start / np.sqrt(value[0].size)).astype("f"))
    models.save_resnet(net, tmp_path / "weights")
    found = load_file(tmp_path / "weights")
    assert not any("bias" in key and ("conv" in key or "downsample.0" in key) for key in found)
    assert "layer2.0.downsample.0.weight" in found and "bn1.running_mean" in found
    again = models.resnet(depth, 3, tmp_path / "weights", **make)
    x = rng.normal(size=(2, 33, 17, 3)).astype("f")
    wanted = net.predict(x)
    assert np.ptp(wanted) > 0.01
    np.testing.assert_allclose(again.predict(x), wanted, rtol=1e-4, atol=1e-5)


def test_what_residual_networks_of_others_have_not_is_refused(tmp_path):
    net = models.resnet(18, 3, width=1)
    for name, options, message in (
        (
            "layer2/0/conv1",
            {"dilation": 2},
            "'layer2/0/conv1': dilation=2; such a model has dilation=1",
        ),
        ("bn1", {"epsilon": 0.1}, "'bn1': epsilon=0.1"),
        ("maxpool", {"mode": "mean"}, "'maxpool': mode='mean'"),
    ):
        with pytest.raises(theanets.ConfigurationError, match=message):
            models.save_resnet(changed(net, name, **options), tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
