"""Every example runs, on a small setting."""

import gzip
import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from short_training import end_early

EXAMPLES = Path(__file__).parent.parent / "examples"
NEEDS = {
    "bayesian.py": "pymc",
    "bayesian_digits.py": "pymc",
    "bayesian_sunspots.py": "pymc",
    "patches_autoencoder.py": "PIL",
}
SETTINGS = {
    "bayesian.py": ["--draws", "5", "--plot", "bayesian.png"],
    "bayesian_digits.py": ["--train", "60", "--epochs", "2", "--seeds", "1", "--plot", "d.png"],
    "bayesian_sunspots.py": ["--members", "2", "--epochs", "1", "--plot", "s.png"],
    "burgers.py": ["--points", "50", "--plot", "burgers.png"],
    "char_rnn.py": ["--text", "a.txt", "--size", "8", "--epochs", "1", "--save", "a.safetensors"],
    "crf_labels.py": ["--epochs", "1", "--lines", "60"],
    "diffusion.py": ["--plot", "diffusion.png"],
    "digits.py": ["--epochs", "2", "--save", "digits.safetensors"],
    "digits_autoencoder.py": ["--updates", "12", "--seeds", "1"],
    "digits_convolution.py": ["--epochs", "1"],
    "digits_features.py": ["--features", "9", "--epochs", "1"],
    "digits_pretraining.py": ["--epochs", "1", "--updates", "5", "--seeds", "1"],
    "digits_resnet.py": ["--epochs", "1", "--width", "2"],
    "fashion_mnist.py": [".", "--epochs", "1", "--save", "fashion.safetensors"],
    "japanese_vowels.py": ["--folder", ".", "--epochs", "1", "--seeds", "1"],
    "oscillator.py": ["--plot", "oscillator.png"],
    "patches_autoencoder.py": ["--patches", "500", "--features", "20", "--epochs", "1"],
    "recurrent_addition.py": ["--forms", "rnn", "--steps", "20", "--updates", "2"],
    "recurrent_autoencoder.py": ["--steps", "20", "--updates", "2"],
    "recurrent_memory.py": ["--forms", "rnn", "--wait", "5", "--updates", "2"],
    "recurrent_sinusoid.py": ["--forms", "clockwork", "--steps", "32", "--updates", "2"],
    "rica.py": ["--features", "9", "--size", "3", "--epochs", "1"],
    "sunspots.py": ["--epochs", "1", "--seeds", "1"],
    "weighted_classification.py": ["--epochs", "1", "--seeds", "1"],
    "xor.py": ["--updates", "5"],
}
#: Examples that have a transformer too, and what asks for it.
OTHER = ("--form", "transformer")
TRANSFORMER = {"char_rnn.py": (*OTHER, "--picture", "a.png"), "japanese_vowels.py": OTHER}


def write_idx(path, array):
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def write_series(path, rng):
    """Write a file of series of 12 variables and different lengths, of the classes 1 to 9."""
    lines = ["@problemName none", "@data"]
    for label in range(1, 10):
        rows = rng.normal(size=(12, rng.integers(7, 30)))
        lines.append(":".join([*(",".join(map(str, row)) for row in rows), str(label)]))
    path.write_text("\n".join(lines))


def test_every_example_has_a_setting():
    assert sorted(SETTINGS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more"), [*((name, ()) for name in SETTINGS), *TRANSFORMER.items()]
)
def test_example_runs(name, more, tmp_path, monkeypatch, capsys, rng):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    # Few, since convolutions take their time where nothing is compiled; of each class.
    for part, count in (("train", 36), ("t10k", 20)):
        images, labels = rng.integers(256, size=(count, 28, 28)), np.arange(count) % 10
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    for part in ("TRAIN", "TEST"):
        write_series(tmp_path / f"JapaneseVowels_{part}.ts", rng)
    (tmp_path / "a.txt").write_text("It is a truth\nuniversally acknowledged.\n\n" * 60)
    end_early(monkeypatch, max_updates=12)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *SETTINGS[name], *more])
    # In this process: importing what examples need takes longer than most of them.
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert capsys.readouterr().out.strip()
    for place in (*SETTINGS[name], *more):
        if place.endswith((".safetensors", ".png")):
            assert (tmp_path / place).exists()
