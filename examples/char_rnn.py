"""Learn to write, character by character, from a novel.

Trains on the first nine tenths of the text, Pride and Prejudice if none is named,
and prints how many bits per character the rest takes, which a network that knows
nothing needs log2(76) = 6.2 for. In the end it continues a text at two
temperatures: the lower one keeps to what is most probable.

    python examples/char_rnn.py
    python examples/char_rnn.py --prompt "My dear Mr. Darcy, " --save austen.safetensors
    python examples/char_rnn.py --text FILE --form gru --size 128 --epochs 5
"""

import argparse
import math
import re
import textwrap
import time
from pathlib import Path

from theanets import recurrent

NOVEL = Path(__file__).parent / "data" / "pride_and_prejudice.txt"


def load(path):
    """Get a text with one line for each paragraph."""
    text = path.read_text(encoding="utf-8")
    return re.sub(r"\n+", "\n", re.sub(r"(?<!\n)\n(?!\n)", " ", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, default=NOVEL, help="a text file")
    parser.add_argument("--form", default="lstm", help="lstm, gru, rnn, scrn, mut1, ...")
    parser.add_argument("--size", type=int, default=256, help="units of the layer")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the text")
    parser.add_argument("--prompt", default="It is a truth universally ", help="to be continued")
    parser.add_argument("--save", help="where the network goes")
    args = parser.parse_args()

    text = load(args.text)
    split = len(text) * 9 // 10
    known = recurrent.Text(text[:split])
    rest = recurrent.Text(text[split:], alpha=known.alpha)
    train = known.contiguous_batches(64, 32)
    valid = rest.contiguous_batches(min(1000, (len(rest.text) - 1) // 8), 8)
    # The state after a batch is the one that the next batch starts with.
    layer = dict(form=args.form, size=args.size, stateful=True)
    net = recurrent.Classifier([known.classes, layer, known.classes])
    print(net.summary())
    print(f"{split} characters to train on, {len(text) - split} to predict")
    start = time.perf_counter()
    for i, (_, found) in enumerate(
        net.itertrain(
            train,
            valid,
            epochs=args.epochs,
            learning_rate=4e-3,
            learning_rate_schedule=dict(form="cosine", total=args.epochs),
            max_gradient_norm=5,
            hidden_dropout=0.1,
        )
    ):
        bits, seconds = found["xe"] / math.log(2), time.perf_counter() - start
        print(f"epoch {i + 1}: {bits:.3f} bits per character, {seconds:.0f} s", flush=True)
    print(f"{net.evaluate(valid)['xe'] / math.log(2):.3f} bits per character, the best of these")
    for temperature in (0.5, 1.0):
        seed = known.encode(args.prompt)
        labels = net.predict_sequence(seed, 600, temperature=temperature, rng=1)
        print(f"\nat temperature {temperature}:")
        for line in (args.prompt + known.decode(labels)).splitlines():
            print(textwrap.fill(line, 80))
    if args.save:
        net.save(args.save)


if __name__ == "__main__":
    main()
