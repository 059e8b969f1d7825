"""Time a Bayesian gru of theanets against one written by hand with ``pytensor.scan``, in PyMC.

Against one of pytensor-ml too, where it is installed; its layer knows nothing of PyMC, so random
variables take the places of its parameters.

    python benchmarks/bayes.py [--units 10] [--steps 50] [--series 20]

Each is compiled in a process of its own with an empty cache. Seconds of the processor until
the first value of the log-density and its gradient is there, and the time of a call after it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec

VARIABLES = 3


def data(steps, series):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(series, steps, VARIABLES))
    return x, np.cumsum(x[:, :, :1], axis=1) / np.sqrt(steps)


def by_theanets(units, x, y):
    import theanets.bayes
    from theanets import recurrent

    net = recurrent.Regressor([VARIABLES, (units, "gru"), 1], dtype="float64", rng=1)
    return theanets.bayes.model(net, [x, y])


def by_hand(units, x, y):
    """The same gru as people write it: gates in one product, a scan over the steps."""
    import numpy as np
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    def step(now, h, hh, hc):
        gates = pt.sigmoid(now[:, : 2 * units] + h @ hh)
        z, r = gates[:, :units], gates[:, units:]
        candidate = pt.tanh(now[:, 2 * units :] + (r * h) @ hc)
        return (1 - z) * h + z * candidate

    with pm.Model() as model:
        xh = pm.Normal("xh", 0, 1 / np.sqrt(VARIABLES), shape=(VARIABLES, 3 * units))
        hh = pm.Normal("hh", 0, 1 / np.sqrt(units), shape=(units, 2 * units))
        hc = pm.Normal("hc", 0, 1 / np.sqrt(units), shape=(units, units))
        b = pm.Normal("b", 0, 1, shape=3 * units)
        w = pm.Normal("w", 0, 1 / np.sqrt(units), shape=(units, 1))
        c = pm.Normal("c", 0, 1, shape=1)
        before = pt.as_tensor(x.swapaxes(0, 1)) @ xh + b
        states = pytensor.scan(
            step,
            sequences=[before],
            outputs_info=[pt.zeros((len(x), units))],
            non_sequences=[hh, hc],
            return_updates=False,
        )
        noise = pm.HalfNormal("noise", 1.0)
        pm.Normal("y", states @ w + c, noise, observed=y.swapaxes(0, 1))
    return model


def by_pytensor_ml(units, x, y):
    import numpy as np
    import pymc as pm
    import pytensor.tensor as pt
    from pytensor.graph.replace import graph_replace
    from pytensor_ml.layers import GRU
    from pytensor_ml.pytensorf import collect_trainable_params

    states = GRU("gru", n_in=VARIABLES, n_hidden=units)(pt.as_tensor(x))
    with pm.Model() as model:
        drawn = {}
        for p in collect_trainable_params(states):
            shape = p.get_value().shape
            deviation = 1 / np.sqrt(shape[0]) if len(shape) > 1 else 1
            drawn[p] = pm.Normal(p.name, 0, deviation, shape=shape)
        w = pm.Normal("w", 0, 1 / np.sqrt(units), shape=(units, 1))
        c = pm.Normal("c", 0, 1, shape=1)
        noise = pm.HalfNormal("noise", 1.0)
        (states,) = graph_replace([states], drawn)
        pm.Normal("y", states @ w + c, noise, observed=y)
    return model


BUILDERS = {"theanets": by_theanets, "scan": by_hand, "pytensor_ml": by_pytensor_ml}


def measure(name, options):
    """Compile and call in this process; print what it took."""
    import numpy as np
    from pymc.blocking import DictToArrayBijection

    model = BUILDERS[name](options.units, *data(options.steps, options.series))
    began, clock = time.process_time(), time.perf_counter()
    function = model.logp_dlogp_function(ravel_inputs=True)
    point = DictToArrayBijection.map(model.initial_point())
    value, slope = function(point)
    assert np.isfinite(value) and np.isfinite(slope).all()
    compiling, wall = time.process_time() - began, time.perf_counter() - clock
    times = []
    for _ in range(options.calls):
        clock = time.perf_counter()
        function(point)
        times.append(time.perf_counter() - clock)
    print(json.dumps({"compiling": compiling, "wall": wall, "call": float(np.median(times))}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=10)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--one", choices=BUILDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one, options)
        return
    found = {}
    for name in BUILDERS:
        if name == "pytensor_ml" and find_spec(name) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}"}
            command = [sys.executable, __file__, *sys.argv[1:], "--one", name]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        one = found[name] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:11} compiling {one['compiling']:5.1f} s (clock {one['wall']:.1f}), a call "
            f"{1e6 * one['call']:6.0f} us"
        )
    ours = found.pop("theanets")
    for name, one in found.items():
        print(
            f"ratios to {name}: compiling {ours['compiling'] / one['compiling']:.2f}, a call "
            f"{ours['call'] / one['call']:.2f}"
        )


if __name__ == "__main__":
    main()
