"""Learn to write, character by character, from a novel.

Trains on the first nine tenths of the text, Pride and Prejudice if none is named,
and prints how many bits per character the rest takes, which a network that knows
nothing needs log2(76) = 6.2 for. In the end it continues a text at two
temperatures: the lower one keeps to what is most probable.

    python examples/char_rnn.py
    python examples/char_rnn.py --prompt "My dear Mr. Darcy, " --save austen.safetensors
    python examples/char_rnn.py --text FILE --form gru --size 128 --epochs 5
    python examples/char_rnn.py --form transformer --size 128 --epochs 4 --picture weights.png

The picture, which a transformer can have, shows which characters of the prompt each one attends to.
"""

import argparse
import math
import re
import textwrap
import time
from pathlib import Path

import numpy as np

from theanets import recurrent

NOVEL = Path(__file__).parent / "data" / "pride_and_prejudice.txt"


def load(path):
    """Get a text with one line for each paragraph."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"\n+", "\n", re.sub(r"(?<!\n)\n(?!\n)", " ", text))


def transformer(classes, size):
    """Get two blocks that look back at 64 characters."""
    block = dict(form="transformer", heads=8, causal=True, window=64, activation="relu", repeat=2)
    layers = [(size, "linear"), {**block, "position": "relative", "reach": 63}, "layer_norm"]
    net = recurrent.Classifier([classes, *layers, classes], rng=1)
    # To begin with, the heads of the first block look at one of the last eight characters
    # each, and those of the second one at all of them, the less the further away.
    first, second = (net.find(f"hid2/{i}/attention", "distance") for i in (1, 2))
    distance, head = np.arange(64, dtype="float32")[::-1], np.arange(8, dtype="float32")[:, None]
    first.set_value(np.where(distance == head, distance.dtype.type(4), 0))
    second.set_value(-distance * 0.5 ** (head + 1))
    return net


def draw(net, labels, text, path):
    """Draw which characters each one attends to, by half of the heads of both blocks."""
    import matplotlib.pyplot as plt

    vectors = np.eye(net.layers[0].output_size, dtype="float32")[labels]
    outputs = net.feed_forward(vectors[None])
    figure, axes = plt.subplots(
        2, 4, figsize=(18, 9.4), sharex=True, sharey=True, layout="constrained"
    )
    names = [c if c.isprintable() and c != " " else "\u2423" for c in text]
    for block, row in enumerate(axes, 1):
        weights = outputs[f"hid2/{block}/attention:weights"][0]
        for head, ax in enumerate(row):
            image = ax.imshow(weights[head], cmap="Blues", vmin=0, vmax=1)
            ax.set_title(f"block {block}, head {head + 1}")
            ax.set_xticks(range(len(names)), names, fontsize=9, family="monospace")
            ax.set_yticks(range(len(names)), names, fontsize=9, family="monospace")
    figure.supxlabel("attended to")
    figure.supylabel("attends")
    figure.colorbar(image, ax=axes, label="weight", fraction=0.02, pad=0.01)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=NOVEL, help="a text file")
    parser.add_argument("--form", default="lstm", help="lstm, gru, transformer, ...")
    parser.add_argument("--size", type=int, default=256, help="units of the layer")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the text")
    parser.add_argument("--prompt", default="It is a truth universally ", help="to be continued")
    parser.add_argument("--save", help="where the network goes")
    parser.add_argument("--picture", help="where what a transformer attends to is drawn")
    args = parser.parse_args()
    if args.picture and args.form != "transformer":
        parser.error("--picture is of what a transformer attends to: --form transformer")

    text = load(args.text)
    split = len(text) * 9 // 10
    known = recurrent.Text(text[:split])
    rest = recurrent.Text(text[split:], alpha=known.alpha)
    attends = args.form == "transformer"
    train = known.contiguous_batches(*((128, 8) if attends else (64, 32)))
    valid = rest.contiguous_batches(min(1000, (len(rest.text) - 1) // 8), 8)
    if attends:
        net = transformer(known.classes, args.size)
        decay = dict(form="cosine", total=args.epochs * len(train), unit="update")
        schedule = dict(form="warmup", updates=200, after=decay)
        options = dict(algo="adamw", learning_rate=3e-3, max_gradient_norm=1)
    else:
        # The state after a batch is the one that the next batch starts with.
        layer = dict(form=args.form, size=args.size, stateful=True)
        net = recurrent.Classifier([known.classes, layer, known.classes])
        schedule = dict(form="cosine", total=args.epochs)
        options = dict(learning_rate=4e-3, max_gradient_norm=5, hidden_dropout=0.1)
    options |= dict(epochs=args.epochs, learning_rate_schedule=schedule)
    print(net.summary())
    print(f"{split} characters to train on, {len(text) - split} to predict")
    start = time.perf_counter()
    for i, (_, found) in enumerate(net.itertrain(train, valid, **options)):
        bits, seconds = found["xe"] / math.log(2), time.perf_counter() - start
        print(f"epoch {i + 1}: {bits:.3f} bits per character, {seconds:.0f} s", flush=True)
    print(f"{net.evaluate(valid)['xe'] / math.log(2):.3f} bits per character, the best of these")
    for temperature in (0.5, 1.0):
        seed = known.encode(args.prompt)
        labels = net.predict_sequence(seed, 600, temperature=temperature, rng=1)
        print(f"\nat temperature {temperature}:")
        for line in (args.prompt + known.decode(labels)).splitlines():
            print(textwrap.fill(line, 80))
    if args.picture:
        draw(net, known.encode(args.prompt), args.prompt, args.picture)
    if args.save:
        net.save(args.save)


if __name__ == "__main__":
    main()
