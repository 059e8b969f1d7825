"""Find out what runs on which linker, and write the tables of docs/guide/linkers.md.

Each layer, loss, algorithm and regularizer trains a small network for two epochs, and predicts,
with a linker and without compilation. Results are kept in docs/linkers.json, so that linkers of
different environments can be tried one after the other:

    python docs/make_linker_table.py --linkers NUMBA CVM
    python docs/make_linker_table.py --linkers JAX --kinds losses --only xe mse
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytensor

import theanets
from theanets import linkers, optimizers, recurrent

HERE = Path(__file__).parent
RESULTS = HERE / "linkers.json"
PAGE = HERE / "guide" / "linkers.md"
#: By mode. The first is what the others are compared with.
LINKERS = {one.mode: one for one in (linkers.Linker(), *linkers.LINKERS) if one.mode}

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(10, 4)), rng.dirichlet([1, 1, 1], size=10)
LABELS = rng.integers(0, 3, size=10)
SERIES, TIMED = rng.normal(size=(6, 5, 4)), rng.normal(size=(6, 5, 3))
ATTENDED = np.random.default_rng(1).normal(size=(10, 5, 4))
STEPS = rng.integers(0, 3, size=(6, 5))
IMAGES = rng.normal(size=(6, 6, 6, 2))


def layers():
    """Get networks by the form of the layer that they are about."""
    flat = {
        "feedforward": [4, (5, "tanh"), 3],
        "tied": [4, (5, "tanh"), "tied", 3],
        "concatenate": [4, (5, "tanh"), dict(form="concatenate", inputs=["in", "hid1"]), 3],
        "product": [4, (4, "tanh"), dict(form="product", inputs=["in", "hid1"]), 3],
        "add": [4, (4, "tanh"), dict(form="add", inputs=["in", "hid1"]), 3],
        "sequential": [4, dict(form="sequential", layers=[(5, "tanh"), 4], repeat=2), 3],
        "residual": [4, dict(form="residual", layers=[(5, "tanh"), 3]), 3],
        "flatten": [(2, 2), "flat", 3],
        "reshape": [4, ("reshape", (2, 2)), "flat", 3],
        "lambda": [4, dict(form="lambda", function=abs), 3],
        "batch_norm": [4, "batch_norm", 3],
        "layer_norm": [4, "layer_norm", 3],
        "rms_norm": [4, "rms_norm", 3],
        "group_norm": [4, dict(form="group_norm", groups=2), 3],
        "instance_norm": [(2, 2), "instance_norm", "flat", 3],
        "dropout": [4, dict(form="dropout", rate=0.2), 3],
        "noise": [4, dict(form="noise", std=0.1), 3],
        "attention": [(5, 4), dict(form="attention", heads=2, position="rotary"), "flat", 3],
        "position": [(5, 4), dict(form="position", kind="learned", steps=5), "flat", 3],
        "transformer": [(5, 4), dict(form="transformer", heads=2, hidden=8), "flat", 3],
        "input, sparse": [dict(size=4, sparse=True), 5, 3],
    }
    for name, described in flat.items():
        x = {"(2, 2)": X.reshape(10, 2, 2), "(5, 4)": ATTENDED}.get(str(described[0]), X)
        if "sparse" in name:
            import scipy.sparse

            x = scipy.sparse.csr_array(np.where(X > 0, X, 0))
        # What is added to all keys changes nothing: RMSProp would divide rounding by rounding.
        attends = name in ("attention", "transformer")
        options = {"train": {"algo": "sgd"}} if attends else {}
        yield name, theanets.Regressor, described, options, [x, Y]
    yield "classifier", theanets.Classifier, [4, 5, 3], {}, [X, LABELS]
    symbols = [dict(form="symbols", shape=(5,), classes=3), ("embedding", 2), "flat", 3]
    yield "embedding, symbols", theanets.Regressor, symbols, {}, [STEPS, Y[:6]]
    for name, options in {
        "conv1": dict(size=2, filter_size=3),
        "conv1_transposed": dict(size=2, filter_size=3),
        "pool1": dict(pool_size=2),
        "upsample1": dict(factor=2),
        "conv1_separable": dict(size=2, filter_size=3),
        "pad1": dict(padding=1, mode="reflect"),
        "conv2": dict(size=2, filter_size=(3, 3)),
        "conv2_transposed": dict(size=2, filter_size=(3, 3)),
        "pool2": dict(pool_size=2),
        "upsample2": dict(factor=2, mode="bilinear"),
        "conv2_separable": dict(size=2, filter_size=3),
        "pad2": dict(padding=1, mode="replicate"),
    }.items():
        data, shape = (SERIES, (5, 4)) if "1" in name else (IMAGES, (6, 6, 2))
        described = [shape, dict(form=name, **options), "flat", 3]
        yield name, theanets.Regressor, described, {}, [data, Y[:6]]
    pooled = [(5, 4), dict(form="pool_time", mode="attention"), 3]
    yield "pool_time", theanets.Regressor, pooled, {}, [SERIES, Y[:6]]
    for form in ("rnn", "lstm", "gru", "mut1", "rrnn", "mrnn", "scrn", "clockwork", "bcrnn"):
        options = {"mrnn": dict(factors=2), "clockwork": dict(periods=[1, 2])}.get(form, {})
        options = {"bcrnn": dict(num_modules=2)}.get(form, options)
        described = [4, dict(form=form, size=4, **options), 3]
        yield form, recurrent.Regressor, described, {}, [SERIES, TIMED]
    step = dict(form="cell", size=4, step=leaky)
    yield "cell", recurrent.Regressor, [4, step, 3], {}, [SERIES, TIMED]
    both = [4, dict(form="bidirectional", size=4, worker="gru"), 3]
    yield "bidirectional", recurrent.Regressor, both, {}, [SERIES, TIMED]
    known = [4, dict(form="lengths", name="lengths"), dict(form="gru", size=4, last=True), 3]
    lengths = [SERIES, np.array([5, 3, 1, 4, 2, 5]), LABELS[:6]]
    yield "lengths", recurrent.Classifier, known, {}, lengths
    yield "crf", recurrent.Classifier, [4, (3, "crf")], {}, [SERIES, STEPS]


def leaky(cell, x, h):
    import pytensor.tensor as pt

    return 0.5 * h + 0.5 * pt.tanh(x + cell.dot(h, "hh"))


def losses():
    """Get networks by the name of their loss."""
    for name in canonical(theanets.Loss.registry):
        kind, loss = theanets.Loss.registry[name], {"loss": name}
        if name in ("crf", "ctc"):
            last = (3, "softmax" if name == "ctc" else "crf")
            labels = 1 + STEPS[:, :2] % 2 if name == "ctc" else STEPS
            yield name, recurrent.Classifier, [4, last], loss, [SERIES, labels]
        elif name in ("gll", "laplace", "student_t"):
            heads = [head("mean", 3, "linear")]
            heads.append(head("covar" if name == "gll" else "scale", 3, "softplus"))
            yield name, theanets.Regressor, [dict(size=4, name="in"), *heads], loss, [X, Y]
        elif name == "mixture_density":
            heads = [("weights", 2, "softmax"), ("means", 6, "linear"), ("scales", 2, "softplus")]
            heads = [head(*one) for one in heads]
            yield name, theanets.Regressor, [dict(size=4, name="in"), *heads], loss, [X, Y]
        elif kind.labels or name == "l_softmax":
            yield name, theanets.Classifier, [4, (5, "tanh"), 3], loss, [X, LABELS]
        else:
            described = [4, (5, "tanh"), (3, "softmax")]
            yield name, theanets.Regressor, described, loss, [X, Y]


def head(name, size, activation):
    return dict(size=size, name=name, inputs="in", activation=activation)


def algorithms():
    """Get networks by the algorithm that trains them."""
    for name in canonical(optimizers.Optimizer.registry):
        yield name, theanets.Regressor, [4, (5, "tanh"), 3], {"train": {"algo": name}}, [X, Y]


def regularizers():
    """Get networks by the regularizer that they are trained with."""
    for name in canonical(theanets.Regularizer.registry):
        train = {"train": {name: 0.1}}
        if name.startswith("recurrent"):
            yield name, recurrent.Regressor, [4, (4, "rnn"), 3], train, [SERIES, TIMED]
        else:
            yield name, theanets.Regressor, [4, (5, "tanh"), 3], train, [X, Y]


KINDS = {f.__name__: f for f in (layers, losses, algorithms, regularizers)}


def canonical(registry):
    """Get the first name of each thing that the package registers."""
    names = {registry[n]: n for n in reversed(registry.names())}
    return sorted(n for kind, n in names.items() if kind.__module__.startswith("theanets."))


def use(mode, model, described, options, data, train):
    """Train a network, and predict; get all numbers that come of it."""
    net = model(described, rng=1, mode=mode, **options)
    net.train(data, epochs=2, batch_size=4, progress=False, **train)
    inputs = data[: len(net.inputs)]
    predicted = net.feed_forward(inputs if len(inputs) > 1 else inputs[0])
    values = [p.get_value() for p in net.params]
    return [*values, *predicted.values(), net.evaluate(data)["loss"]]


def attempt(mode, name, model, described, options, data):
    """Tell how it went: ``'same'``, ``'runs'`` without compilation, or what failed."""
    options = dict(options)
    train = {"algo": "rmsprop", "learning_rate": 0.01, **options.pop("train", {})}
    if train["algo"] != "rmsprop":
        del train["learning_rate"]
    arguments = model, described, options, data, train
    try:
        found = use(mode, *arguments)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"
    if not all(np.isfinite(a).all() for a in found):
        return "not finite"
    if mode == "FAST_COMPILE":
        return "runs"
    expected = use("FAST_COMPILE", *arguments)
    # RMSProp divides by running means, which makes rounding of small gradients large.
    close = (np.allclose(a, b, rtol=1e-3, atol=2e-4) for a, b in zip(found, expected))
    return "same" if all(close) else "differs"


def page(results):
    """Get the text of the page."""
    tried = [m for m in LINKERS if m in results]
    lines = [
        "# What runs where",
        "",
        "For each row, `docs/make_linker_table.py` trained a small network for two epochs and",
        "predicted with it. Parameters, predictions and loss were compared with those",
        "of `FAST_COMPILE`, where NumPy and SciPy compute everything. [](backends.md) tells about",
        "linkers.",
        "",
        "| sign | means |",
        "|---|---|",
        "| = | the same numbers as without compilation, to rounding |",
        "| + | runs, and is finite; this is what others are compared with |",
        "| a number | fails, see the notes below the tables |",
        "| (empty) | was not tried |",
        "",
        "| linker | versions |",
        "|---|---|",
        *(f"| `{m}` | {results[m]['versions']} |" for m in tried),
    ]
    notes: list[str] = []
    for kind in KINDS:
        names = list(dict.fromkeys(n for m in tried for n in results[m].get(kind, {})))
        lines += ["", f"## {kind.capitalize()}", "", f"| | {' | '.join(tried)} |"]
        lines += ["|---" * (len(tried) + 1) + "|"]
        for name in names:
            cells = [sign(results[m].get(kind, {}).get(name), notes) for m in tried]
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    lines += ["", "## Notes", ""]
    lines += [f"{i}. {note}" for i, note in enumerate(notes, 1)] or ["Nothing failed."]
    return "\n".join(lines) + "\n"


def sign(result, notes):
    if result is None:
        return ""
    if result in ("same", "runs"):
        return {"same": "=", "runs": "+"}[result]
    note = f"`{result.replace('`', chr(39))}`"
    if note not in notes:
        notes.append(note)
    return str(notes.index(note) + 1)


def versions(mode):
    import importlib.metadata as metadata

    package = LINKERS[mode].package
    others = [f"{package} {metadata.version(package)}"] if package else []
    return ", ".join([f"PyTensor {pytensor.__version__}", *others])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linkers", nargs="*", choices=LINKERS, default=[])
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--only", nargs="*", help="names of layers, losses, ... to try")
    parser.add_argument("--again", action="store_true", help="also what was tried before")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    results = json.loads(args.results.read_text()) if args.results.exists() else {}
    warnings.simplefilter("ignore")
    for mode in args.linkers:
        mine = results.setdefault(mode, {})
        mine["versions"] = versions(mode)
        for kind in args.kinds:
            known = mine.setdefault(kind, {})
            for name, *case in KINDS[kind]():
                if (args.only and name not in args.only) or (name in known and not args.again):
                    continue
                start = time.perf_counter()
                known[name] = attempt(mode, name, *case)
                print(f"{mode} {name}: {known[name]} ({time.perf_counter() - start:.0f} s)")
                args.results.write_text(json.dumps(results, indent=1) + "\n")
    args.page.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
