"""Compare recurrent layers: make a mixture of slow waves from one fast wave.

The input is a sine wave of period 8; the target is the mean of three waves whose
periods are 2, 4 and 8 times as long. The input looks alike at eight places of the
slowest wave: a layer has to count. Prints the mean squared error of each kind of
layer, over series as long as those it was trained on and over longer ones:

    python examples/recurrent_sinusoid.py
    python examples/recurrent_sinusoid.py --forms rnn gru --updates 300
"""

import argparse
import time

import numpy as np

from theanets import recurrent

FORMS = ["rnn", "rrnn", "scrn", "mut1", "gru", "lstm"]


def waves(steps, series=1):
    """Get inputs and targets, (series, steps, 1) each; all series are the same."""
    t = np.arange(steps) * 2 * np.pi / 8
    target = sum(np.sin(t / n) for n in (2, 4, 8)) / 3
    return [np.repeat(z[None, :, None], series, axis=0) for z in (np.sin(t), target)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forms", nargs="+", default=FORMS)
    parser.add_argument("--steps", type=int, default=256, help="length of the series")
    parser.add_argument("--updates", type=int, default=2000, help="how many")
    args = parser.parse_args()

    print(f"always 0: {np.mean(waves(args.steps)[1] ** 2):.5f}")
    for form in args.forms:
        layer = dict(form=form, size=64)
        if form == "clockwork":
            layer["periods"] = [1, 2, 4, 8, 16, 32, 64, 128]
        net = recurrent.Regressor([1, layer, 1])
        start = time.perf_counter()
        net.train(
            waves(args.steps, 32),
            max_updates=args.updates,
            validate_every=50,
            patience=None,
            learning_rate=3e-3,
            max_gradient_norm=1,
            input_noise=0.02,  # which is what makes the series differ
        )
        same, longer = (net.evaluate(waves(n * args.steps))["err"] for n in (1, 4))
        seconds = time.perf_counter() - start
        print(f"{form}: {same:.5f}, four times as long {longer:.5f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
