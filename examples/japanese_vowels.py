"""Tell who is speaking: an lstm, or a transformer, over utterances of different lengths.

JapaneseVowels has 640 utterances of nine men, each a series of 7 to 29 steps with
12 cepstral coefficients; 270 are to train on and 370 to test (Kudo, Toyama and
Shimbo 1999). The Python package sktime comes with it. Or name the folder that has
JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts:

    pip install sktime
    python examples/japanese_vowels.py
    python examples/japanese_vowels.py --form transformer
    python examples/japanese_vowels.py --folder FOLDER --epochs 5 --seeds 1
"""

import argparse
import importlib.util
import time
from pathlib import Path

import numpy as np

from theanets import recurrent


def find():
    """Get the folder of the data in sktime, without importing it."""
    spec = importlib.util.find_spec("sktime")
    if spec is None:
        raise SystemExit("there is no sktime; pip install sktime, or name a --folder")
    return Path(spec.submodule_search_locations[0]) / "datasets/data/JapaneseVowels"


def load(folder, part):
    """Get a list of arrays (steps, 12), and the speakers from 0."""
    lines = (folder / f"JapaneseVowels_{part}.ts").read_text().splitlines()
    lines = [line.split(":") for line in lines if line and line[0] not in "#@"]
    series = [np.array([row.split(",") for row in rows], "float32").T for *rows, _ in lines]
    return series, np.array([int(speaker) - 1 for *_, speaker in lines])


def network(form, seed):
    if form == "lstm":
        layers = [
            dict(form="bidirectional", worker="lstm", size=100, inputs="in", last=True),
            dict(form="dropout", rate=0.5),
        ]
    else:
        layers = [
            dict(form="feedforward", size=64, activation="linear", inputs="in"),
            dict(form="transformer", heads=4, hidden=128, position="rotary", dropout=0.2),
            "layer_norm",
            dict(form="pool_time", mode="mean"),
            dict(form="dropout", rate=0.3),
        ]
    lengths = dict(form="lengths", name="lengths")
    return recurrent.Classifier([12, lengths, *layers, 9], rng=seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the .ts files are")
    parser.add_argument("--form", choices=["lstm", "transformer"], default="lstm")
    parser.add_argument("--epochs", type=int, default=60, help="passes over the data")
    parser.add_argument("--seeds", type=int, default=3, help="how many networks are trained")
    args = parser.parse_args()

    folder = args.folder or find()
    (x, y), (x_test, y_test) = load(folder, "TRAIN"), load(folder, "TEST")
    print(f"{len(x)} utterances to train on, {len(x_test)} to test")
    # Each coefficient has mean 0 and variance 1 in the training data.
    every = np.concatenate(x)
    x, x_test = ([(s - every.mean(0)) / every.std(0) for s in part] for part in (x, x_test))
    print(network(args.form, 0).summary())
    for seed in range(args.seeds):  # no validation: nothing is chosen by the test utterances
        start = time.perf_counter()
        net = network(args.form, seed)
        net.train([x, y], epochs=args.epochs, patience=None, learning_rate=2e-3, input_noise=0.3)
        accuracy, seconds = net.score(x_test, y_test), time.perf_counter() - start
        print(f"seed {seed}: accuracy {accuracy:.4f} in {seconds:.0f} s", flush=True)
    found = net.predict(x_test)
    print("of each speaker, by the last network:")
    for speaker in range(9):
        print(f"{speaker + 1} {np.mean(found[y_test == speaker] == speaker):.3f}")


if __name__ == "__main__":
    main()
