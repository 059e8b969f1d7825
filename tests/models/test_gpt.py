"""A random checkpoint of GPT-2, against the formulas in NumPy, and against transformers."""

import json

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from safetensors.numpy import save_file
from scipy.special import erf

import theanets
from theanets import models

# Nothing is rewritten, which would take most of the time.
AS_BUILT = Mode(linker="py", optimizer="merge")
SYMBOLS, PLACES, SIZE, HEADS, BLOCKS = 13, 12, 8, 2, 2
CONFIG = {"n_head": HEADS, "model_type": "gpt2", "resid_pdrop": 0.1, "attn_pdrop": 0.1}


def weights(rng, start="transformer."):
    """Get random weights of Hugging Face's names."""
    n = SIZE
    shapes = {"wte.weight": (SYMBOLS, n), "wpe.weight": (PLACES, n)}
    for i in range(BLOCKS):
        shapes.update(
            {
                f"h.{i}.attn.c_attn.weight": (n, 3 * n),
                f"h.{i}.attn.c_attn.bias": (3 * n,),
                f"h.{i}.attn.c_proj.weight": (n, n),
                f"h.{i}.attn.c_proj.bias": (n,),
                f"h.{i}.mlp.c_fc.weight": (n, 4 * n),
                f"h.{i}.mlp.c_fc.bias": (4 * n,),
                f"h.{i}.mlp.c_proj.weight": (4 * n, n),
                f"h.{i}.mlp.c_proj.bias": (n,),
            }
        )
    for name in ["ln_f", *(f"h.{i}.ln_{k}" for i in range(BLOCKS) for k in (1, 2))]:
        shapes.update({f"{name}.weight": (n,), f"{name}.bias": (n,)})
    return {start + k: rng.normal(scale=0.7, size=s).astype("f") for k, s in shapes.items()}


def gelu(u):
    return u / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))


def logits(found, x, act=gelu, epsilon=1e-5):
    """Compute what GPT-2 gives for one series."""
    w = {key.removeprefix("transformer."): value.astype("d") for key, value in found.items()}

    def linear(y, name):
        return y @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(y, name):
        z = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + epsilon)
        return z * w[f"{name}.weight"] + w[f"{name}.bias"]

    h, d, steps = w["wte.weight"][x] + w["wpe.weight"][: len(x)], SIZE // HEADS, len(x)
    for i in range(BLOCKS):
        q, k, v = np.split(linear(norm(h, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn"), 3, axis=-1)
        heads = []
        for j in range(HEADS):
            part = slice(j * d, (j + 1) * d)
            scores = q[:, part] @ k[:, part].T / np.sqrt(d)
            scores[np.triu_indices(steps, 1)] = -np.inf
            e = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(e / e.sum(-1, keepdims=True) @ v[:, part])
        h = h + linear(np.concatenate(heads, -1), f"h.{i}.attn.c_proj")
        u = act(linear(norm(h, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"))
        h = h + linear(u, f"h.{i}.mlp.c_proj")
    return norm(h, "ln_f") @ w["wte.weight"].T


@pytest.fixture
def folder(rng, tmp_path):
    found = weights(rng)
    save_file(found, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path, found


def greedy(net, start, steps):
    """Continue a series by the most probable symbols, one after the other."""
    first, state = net.predict(np.asarray([start]), return_state=True)
    stream = net.stream(1)
    stream.state = state
    made = [int(first[0, -1])]
    while len(made) < steps:
        found = np.asarray(stream.step(np.asarray([made[-1]])))
        made.append(int(found.ravel()[0]) if found.size == 1 else int(found.argmax()))
    return made


def test_logits(folder, rng):
    path, found = folder
    net = models.gpt2(path, mode=AS_BUILT)
    assert type(net) is theanets.recurrent.Classifier
    x = rng.integers(SYMBOLS, size=(3, 7))
    expected = np.stack([logits(found, series) for series in x])
    np.testing.assert_allclose(net.predict_logit(x), expected, rtol=1e-4, atol=1e-4)
    # What comes later does not matter, and the output is the embedding.
    np.testing.assert_allclose(net.predict_logit(x[:, :4]), expected[:, :4], rtol=1e-4, atol=1e-4)
    assert not any(p.get_value().shape == (SIZE, SYMBOLS) for p in net.params)


ACTIVATIONS = {
    "gelu_new": gelu,
    "gelu_pytorch_tanh": gelu,
    "gelu": lambda u: u / 2 * (1 + erf(u / np.sqrt(2))),
    "relu": lambda u: np.maximum(u, 0),
    "silu": lambda u: u / (1 + np.exp(-u)),
    "swish": lambda u: u / (1 + np.exp(-u)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_the_configuration_says(name, folder, rng):
    """Another activation, and an epsilon that is not the usual one."""
    path, found = folder
    # Small numbers, of which formulas of activations differ more.
    found = {key: 0.3 * value for key, value in found.items()}
    save_file(found, path / "model.safetensors")
    entries = {"activation_function": name, "layer_norm_epsilon": 0.02}
    (path / "config.json").write_text(json.dumps({**CONFIG, **entries}))
    x = rng.integers(SYMBOLS, size=(2, 5))
    expected = np.stack([logits(found, series, ACTIVATIONS[name], 0.02) for series in x])
    net = models.gpt2(path, mode=AS_BUILT)
    np.testing.assert_allclose(net.predict_logit(x), expected, rtol=2e-5, atol=2e-6)


def test_dropout_is_where_the_configuration_has_it(folder):
    path, _ = folder
    rates = {"embd_pdrop": 0.1, "resid_pdrop": 0.2, "attn_pdrop": 0.3}
    (path / "config.json").write_text(json.dumps({**CONFIG, **rates}))
    net = models.gpt2(path, mode=AS_BUILT)
    found = {layer.name: layer.rate for layer in net.layers if hasattr(layer, "rate")}
    sums = [f"h/{i}{end}+dropout" for i in range(BLOCKS) for end in ("/sum_1", "")]
    assert found == {"drop": 0.1, **dict.fromkeys(sums, 0.2)}
    assert [x.dropout for x in net.layers if hasattr(x, "heads")] == [0.3] * BLOCKS


def test_symbols_one_after_the_other(folder):
    path, found = folder
    made = [3, 1]
    for _ in range(6):
        made.append(int(logits(found, np.asarray(made))[-1].argmax()))
    assert greedy(models.gpt2(path, mode=AS_BUILT), [3, 1], 6) == made[2:]


def test_files_and_names(folder, rng, tmp_path):
    """A file alone, arrays, and names without what stands in front of them."""
    path, found = folder
    x = rng.integers(SYMBOLS, size=(1, 5))
    expected = models.gpt2(path, mode=AS_BUILT).predict_logit(x)
    short = {key.removeprefix("transformer."): value for key, value in found.items()}
    short["h.0.attn.bias"] = np.ones((1, 1, PLACES, PLACES), "f")
    short["h.1.attn.masked_bias"] = np.float32([-1e4])
    short["lm_head.weight"] = short["wte.weight"]
    for source in (path / "model.safetensors", found, short):
        net = models.gpt2(source, heads=HEADS, mode=AS_BUILT)
        np.testing.assert_array_equal(net.predict_logit(x), expected)
    net.save(tmp_path / "net")
    loaded = theanets.Network.load(tmp_path / "net")
    loaded.mode = AS_BUILT
    np.testing.assert_array_equal(loaded.predict_logit(x), expected)


@pytest.mark.slow
def test_a_network_of_a_checkpoint_trains_on(folder, rng):
    net = models.gpt2(folder[0], rng=1, mode=AS_BUILT)
    x = rng.integers(SYMBOLS, size=(4, 6))
    data = [x, (x + 1) % SYMBOLS]
    before = net.evaluate(data)["loss"]
    net.train(data, epochs=5)
    assert net.evaluate(data)["loss"] < before


def test_what_is_refused(folder, rng):
    path, found = folder
    with pytest.raises(theanets.ConfigurationError, match="heads=None, and there is no"):
        models.gpt2(found)
    with pytest.raises(theanets.ConfigurationError, match="heads=3 do not divide the 8 units"):
        models.gpt2(found, heads=3)
    with pytest.raises(theanets.FileError, match=r"there is no 'transformer.h.1.ln_2.bias'"):
        models.gpt2({k: v for k, v in found.items() if k != "transformer.h.1.ln_2.bias"}, 2)
    with pytest.raises(theanets.FileError, match=r"'transformer.h.0.attn.c_attn.bias' has the sh"):
        models.gpt2({**found, "transformer.h.0.attn.c_attn.bias": np.zeros(3, "f")}, 2)
    with pytest.raises(theanets.FileError, match=r"'score\.weight' have no place"):
        models.gpt2({**found, "score.weight": np.zeros(3, "f")}, 2)
    for entry, message in (
        ({"activation_function": "relu6"}, "activation_function='relu6'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "layer_idx=True of the configuration"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False of the configuration"),
        ({"add_cross_attention": True}, "add_cross_attention=True of the configuration"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False of the configuration"),
    ):
        (path / "config.json").write_text(json.dumps({**CONFIG, **entry}))
        with pytest.raises(theanets.ConfigurationError, match=message):
            models.gpt2(path)
    for entry, message in (
        ({"model_type": "llama"}, "model_type='llama' of the configuration has no counterpart"),
        ({"n_layer": 2.5}, "n_layer=2.5 is not an integer"),
    ):
        (path / "config.json").write_text(json.dumps({**CONFIG, **entry}))
        with pytest.raises(theanets.ConfigurationError, match=message):
            models.gpt2(path)
    (path / "config.json").write_text("{")
    with pytest.raises(theanets.FileError, match="no JSON"):
        models.gpt2(path)


@pytest.mark.parametrize("lacking", [0, 1])
@pytest.mark.parametrize("n_layer", [None, 2])
def test_a_block_that_lacks_a_weight_names_that(folder, lacking, n_layer):
    path, found = folder
    name = f"transformer.h.{lacking}.ln_1.weight"
    save_file({k: v for k, v in found.items() if k != name}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({**CONFIG, "n_layer": n_layer}))
    with pytest.raises(theanets.FileError, match=f"there is no '{name}'"):
        models.gpt2(path)


@pytest.mark.parametrize("n_layer, message", [(3, "there is no '.*h.2.ln_1.*'"), (1, "no place")])
def test_there_are_as_many_blocks_as_the_configuration_says(folder, n_layer, message):
    path, _ = folder
    (path / "config.json").write_text(json.dumps({**CONFIG, "n_layer": n_layer}))
    with pytest.raises(theanets.FileError, match=message):
        models.gpt2(path)


@pytest.mark.slow
def test_against_transformers(tmp_path, rng):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50,
        n_positions=32,
        n_embd=16,
        n_layer=3,
        n_head=4,
        eos_token_id=None,
        bos_token_id=0,
        initializer_range=0.3,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    net = models.gpt2(tmp_path, mode=AS_BUILT)
    x = rng.integers(50, size=(2, 9))
    with torch.no_grad():
        expected = theirs(torch.tensor(x)).logits.numpy()
        series = theirs.generate(torch.tensor(x[:1]), max_new_tokens=15, do_sample=False)
    np.testing.assert_allclose(net.predict_logit(x), expected, rtol=1e-4, atol=1e-4)
    assert greedy(net, x[0], 15) == series[0, 9:].tolist()
