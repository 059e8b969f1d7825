"""Whether a device computes what NumPy does: each kind of layer, loss, optimizer and penalty.

The networks are those of ``docs/make_linker_table.py``. Of each are compared with those of
``FAST_COMPILE``: all outputs; the gradient, by the parameters after an update by sgd; and the
parameters after ten updates.
"""

import importlib.util
import time
from itertools import zip_longest
from pathlib import Path

import numpy as np

import theanets
from theanets.training import setup

TABLE = Path(__file__).parents[1] / "docs" / "make_linker_table.py"
#: Of what a CPU has time for.
SMALL = {
    "layers": ["conv2", "embedding, symbols"],
    "losses": ["xe"],
    "algorithms": ["adam"],
    "regularizers": [],
}
#: What numbers may be apart: so much, and so much of the largest one of an array.
ATOL, RTOL = 2e-6, 1e-3
UPDATES, RATE = 10, 0.1


def cases(small):
    """Get the names and networks of all that is checked, of each kind in turns."""
    spec = importlib.util.spec_from_file_location("make_linker_table", TABLE)
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    kinds = []
    for kind, make in table.KINDS.items():
        found = [(f"{kind} {name}", *rest) for name, *rest in make() if "sparse" not in name]
        wanted = [f"{kind} {name}" for name in SMALL[kind]]
        kinds.append([case for case in found if not small or case[0] in wanted])
    return [case for some in zip_longest(*kinds) for case in some if case is not None]


def trained(model, described, options, data, mode, algo, counts, train):
    """Get the changes of parameters after so many updates each, and whether numbers were drawn."""
    net = model(described, rng=1, **options)
    keywords = {"batch_size": len(data[0]) // 2, "mode": mode, "progress": False, **train}
    engine = setup.make_run(net, data, None, algo, **keywords).engine
    before, done, found = [p.get_value() for p in net.params], 0, []
    try:
        for count in counts:
            while done < count:
                done += engine.epoch(0, done, count, None).updates
            after = [np.asarray(p.get_value()) for p in net.params]
            found.append([b - a for a, b in zip(before, after)])
    finally:
        engine.close()
    assert any((change != 0).any() for change in found[-1]), "nothing has been updated"
    return found, bool(engine.generators())


def outputs(model, described, options, data, mode):
    net = model(described, rng=1, **options)
    inputs = data[: len(net.inputs)]
    found = net.feed_forward(inputs if len(inputs) > 1 else inputs[0], mode=mode)
    return list(found.values())


def apart(found, expected):
    """Get the largest difference, in parts of what is allowed."""
    assert len(found) == len(expected) > 0
    most = 0.0
    for a, b in zip(found, expected):
        assert np.isfinite(a).all() and a.shape == b.shape, "not finite, or of another shape"
        allowed = ATOL + RTOL * np.max(np.abs(b), initial=0)
        most = max(most, np.max(np.abs(a - b), initial=0) / allowed)
    return most


def check(case, mode, on_cpu):
    """Compare a network; get what there is to say, and whether it is right."""
    _, model, described, options, data = case
    options = dict(options)
    train = dict(options.pop("train", {}))
    algo = train.pop("algo", "sgd")
    case = model, described, options, data
    most = [apart(*(outputs(*case, one) for one in (mode, "FAST_COMPILE")))]
    said = [f"forward {most[0]:.2g}"]
    if algo == "sgd":
        train, counts = {"learning_rate": RATE, **train}, {"gradient": 1, "updates": UPDATES}
    else:
        # What is sensitive to rounding has lost it after ten iterations of L-BFGS.
        first_order = theanets.optimizers.build(algo).first_order
        counts = {"updates": UPDATES if first_order else 2}
    (found, drawn), (expected, _) = (
        trained(*case, one, algo, list(counts.values()), train) for one in (mode, "FAST_COMPILE")
    )
    for what, changes, others in zip(counts, found, expected):
        if drawn and not on_cpu:
            # A device that is no CPU draws other numbers.
            assert all(np.isfinite(change).all() for change in changes), "not finite"
            said.append(f"{what} drawn")
            continue
        scale = 1 / RATE if what == "gradient" else 1
        most.append(apart(*([scale * change for change in each] for each in (changes, others))))
        said.append(f"{what} {most[-1]:.2g}")
    return ", ".join(said), max(most) <= 1


def run(mode, on_cpu, small, part, parts, seconds):
    """Check a part of all, and print a line for each; get how many failed, and were not reached."""
    started, failed, some = time.perf_counter(), 0, cases(small)[part::parts]
    for number, case in enumerate(some):
        if time.perf_counter() - started > seconds:
            names = [name for name, *_ in some[number:]]
            print(f"NOT REACHED in {seconds:.0f} s: {', '.join(names)}", flush=True)
            return failed, len(names)
        start = time.perf_counter()
        try:
            said, right = check(case, mode, on_cpu)
        except Exception as error:
            said, right = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", False
        failed += not right
        took = time.perf_counter() - start
        print(f"{'same' if right else 'FAILED':>6} {case[0]:<34} {said} ({took:.1f} s)", flush=True)
    return failed, 0
