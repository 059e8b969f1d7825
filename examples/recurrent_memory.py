"""The memory task: see some symbols, wait, and say them in the same order when asked.

A series starts with symbols, then nothing happens, then a cue comes and the
symbols are due, one at each step. Weights say that only these last steps count.
One of 8 symbols is guessed right with a probability of 0.125:

    python examples/recurrent_memory.py
    python examples/recurrent_memory.py --forms gru --wait 40

Hochreiter & Schmidhuber 1997 have tasks of this kind.
"""

import argparse
import time

import numpy as np

from theanets import recurrent

KINDS = 8  # of symbols; input 8 is nothing, input 9 the cue


def draw(rng, symbols, wait, examples=32):
    """Get inputs (examples, time, 10), labels and weights (examples, time)."""
    steps = 2 * symbols + wait
    inputs = np.full((examples, steps), KINDS)
    inputs[:, :symbols] = rng.integers(KINDS, size=(examples, symbols))
    inputs[:, -symbols:] = KINDS + 1
    labels, weights = np.zeros((examples, steps), int), np.zeros((examples, steps))
    labels[:, -symbols:] = inputs[:, :symbols]
    weights[:, -symbols:] = 1
    return [np.eye(KINDS + 2)[inputs], labels, weights]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forms", nargs="+", default=["gru", "lstm", "clockwork"])
    parser.add_argument("--symbols", type=int, default=3, help="how many are to be remembered")
    parser.add_argument("--wait", type=int, default=20, help="steps before the cue")
    parser.add_argument("--updates", type=int, default=4000, help="at most so many")
    args = parser.parse_args()

    task = args.symbols, args.wait
    test = draw(np.random.default_rng(1), *task, 2000)
    for form in args.forms:
        layer = dict(form=form, size=64)
        if form == "clockwork":
            layer["periods"] = [1, 2, 4, 8, 16, 32, 64, 128]
        net = recurrent.Classifier([KINDS + 2, layer, KINDS], weighted=True)
        rng, start = np.random.default_rng(0), time.perf_counter()
        for i, (_, valid) in enumerate(
            net.itertrain(
                lambda rng=rng: draw(rng, *task),
                draw(np.random.default_rng(2), *task, 500),
                train_batches=min(250, args.updates),
                max_updates=args.updates,
                patience=None,
                learning_rate=1e-2,
                max_gradient_norm=1,
            )
        ):
            if i % 4 == 0:
                print(f"  {form}, epoch {i + 1}: {valid['acc']:.4f}", flush=True)
            if valid["acc"] == 1:
                break
        accuracy = net.score(*test)
        print(f"{form}: {accuracy:.4f} in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
