"""Find the words in text without spaces: label characters one by one, or by a CRF.

The text is Python's own language reference, which comes with Python. Each
character is the first of a word, inside of one, its last, or a word by itself.
Shows the share of right characters, and of words found, on topics that training
never saw, for a softmax layer and for a crf layer on the same features:

    python examples/crf_labels.py
    python examples/crf_labels.py --epochs 1 --lines 200
"""

import argparse
import re
from pydoc_data.topics import topics

import numpy as np

import theanets

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WINDOW = 2  # characters that are seen on either side


def load(lines, seed=0):
    """Get lines of 10 words as features and labels, in two parts; -1 is no label."""
    order = np.random.default_rng(seed).permutation(sorted(topics))
    found = []
    for topic in order:
        words = re.findall("[a-z]+", topics[topic].lower())
        found.extend(words[i : i + 10] for i in range(0, len(words) - 9, 10))
    found = found[:lines]
    time = max(len("".join(words)) for words in found)
    x = np.zeros((len(found), time, 2 * WINDOW + 1, len(LETTERS)), "float32")
    y = np.full((len(found), time), -1)
    for i, words in enumerate(found):
        codes = [LETTERS.index(letter) for letter in "".join(words)]
        for j in range(-WINDOW, WINDOW + 1):
            seen = [t for t in range(len(codes)) if 0 <= t + j < len(codes)]
            x[i, seen, j + WINDOW, [codes[t + j] for t in seen]] = 1
        tags = [[3] if len(w) == 1 else [0, *[1] * (len(w) - 2), 2] for w in words]
        y[i, : len(codes)] = [label for tag in tags for label in tag]
    x = x.reshape(len(found), time, -1)
    split = lines * 4 // 5
    return (x[:split], y[:split]), (x[split:], y[split:])


def words_of(labels):
    """Get the (start, end) of each word of a line."""
    ends = np.flatnonzero((labels == 2) | (labels == 3)) + 1
    starts = np.flatnonzero((labels == 0) | (labels == 3))
    return {(max(starts[starts < end], default=-1), end) for end in ends}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data")
    parser.add_argument("--lines", type=int, default=2500, help="lines of 10 words in the data")
    args = parser.parse_args()

    train, (x, y) = load(args.lines)
    exists = y >= 0
    print(f"{exists.sum()} characters of {len(y)} lines to label; trained on {len(train[1])} lines")
    for form, loss in (("softmax", "xe"), ("crf", "crf")):
        net = theanets.Classifier(
            [dict(shape=(None, x.shape[2])), (32, "relu"), dict(form=form, size=4)],
            loss=dict(form=loss, ignore_index=-1),
        )
        net.train(train, epochs=args.epochs, algo="adam", learning_rate=0.01)
        found = net.predict(x, **({"mask": exists} if form == "crf" else {}))
        pairs = [(words_of(a[e]), words_of(b[e])) for a, b, e in zip(found, y, exists)]
        hits, guesses, words = (sum(map(len, s)) for s in zip(*((a & b, a, b) for a, b in pairs)))
        print(
            f"{form}: {(found == y)[exists].mean():.4f} of characters right, "
            f"F1 of words {2 * hits / (guesses + words):.4f}"
        )


if __name__ == "__main__":
    main()
