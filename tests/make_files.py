"""Makes the small files that later versions have to read: ``python tests/make_files.py FOLDER``.

It is run once for each state of the format, in that state; `tests/test_earlier_files.py` reads all.
`tests/files/README.md` says of which states there are files.
"""

import json
import pickle
import sys
from pathlib import Path

import numpy as np

import theanets

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(12, 4)).astype("float32")
SERIES = RNG.normal(size=(6, 5, 3)).astype("float32")
IMAGES = RNG.normal(size=(6, 6, 6, 1)).astype("float32")
LABELS = (ROWS[:, 0] > 0).astype("int32")
WAVES = np.sin(SERIES[..., :2])
#: The run of the checkpoint; the file is that of its second epoch, the figures those of its last.
RUN = dict(algo="adam", batch_size=5, hidden_dropout=0.2, weight_l2=1e-3)
EPOCHS = 2, 4
#: What each estimator is fitted to.
ESTIMATORS = {
    "NetClassifier": np.where(LABELS, "yes", "no"),
    "NetRegressor": np.sin(ROWS[:, 0]),
    "NetAutoencoder": None,
}


def models():
    """Get a network of each kind by the name of its file, with its inputs and targets."""
    on_linker = dict(rng=1, mode="FAST_COMPILE")
    recurrent, convolution = theanets.recurrent, theanets.convolution
    return {
        "classifier": (theanets.Classifier([4, (5, "tanh"), 2], **on_linker), ROWS, LABELS),
        "autoencoder": (theanets.Autoencoder([4, (3, "relu"), "tied"], **on_linker), ROWS, None),
        "recurrent": (recurrent.Regressor([3, (4, "lstm"), 2], **on_linker), SERIES, WAVES),
        "convolution": (
            convolution.Regressor(
                [(6, 6, 1), dict(form="conv2", size=2, filter_size=3), "batch_norm", "flat", 1],
                **on_linker,
            ),
            IMAGES,
            IMAGES.mean(axis=(1, 2, 3))[:, None],
        ),
        "plain": (plain(), ROWS, LABELS),
    }


def plain():
    """Get a network with two losses, of which one has weights and one a target of its own."""
    net = theanets.Network([4, dict(size=5, name="mid"), 2], rng=1, mode="FAST_COMPILE")
    net.add_layer(size=1, inputs="mid", name="other")
    net.add_loss("mae", output_name="other", target="level", weight=0.5)
    return net


def data(name, inputs, targets):
    """Get what a network of that name trains on."""
    if name == "plain":
        return [inputs, np.sin(inputs[:, :2]), inputs[:, :1]]
    return [inputs] if targets is None else [inputs, targets]


def linear():
    """Get the network of the posterior."""
    return theanets.Regressor([4, 1], rng=1, mode="FAST_COMPILE", dtype="float64")


def estimated(estimator, inputs):
    """Get all numbers that an estimator has to say."""
    for method in ("predict_proba", "transform"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(inputs)
    return estimator.predict(inputs)


def run(path=None, epochs=EPOCHS[1]):
    """Train the run of the checkpoint."""
    net = theanets.Regressor([4, (5, "tanh"), 2], rng=1, mode="FAST_COMPILE")
    options = {} if path is None else {"checkpoint": path}
    net.train([ROWS, np.sin(ROWS[:, :2])], epochs=epochs, **options, **RUN)
    return net


def make(folder):
    """Write the files, and beside them what their networks predict."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (net, inputs, targets) in models().items():
        net.train(data(name, inputs, targets), algo="sgd", epochs=1)
        # The first states have no notes.
        getattr(net, "metadata", {}).update(made="once", scale=RNG.normal(size=3))
        net.save(folder / (f"{name}.gz" if name == "convolution" else name))
        expected[name] = np.asarray(net.predict(inputs)).tolist()
        if name == "classifier":
            expected[name] = net.predict_proba(inputs).tolist()
            (folder / "classifier.pickle").write_bytes(pickle.dumps(net, 4))
    run(folder / "checkpoint", EPOCHS[0])
    expected["checkpoint"] = [p.get_value().tolist() for p in run().params]
    try:
        from theanets import sklearn
    except ImportError:
        pass
    else:
        for name, targets in ESTIMATORS.items():
            estimator = getattr(sklearn, name)((5,), mode="FAST_COMPILE", epochs=1, random_state=1)
            estimator.fit(ROWS, targets)
            (folder / f"{name}.pickle").write_bytes(pickle.dumps(estimator, 4))
            expected[name] = estimated(estimator, ROWS).tolist()
    try:
        from theanets import bayes
    except ImportError:  # PyMC wants a later Python
        pass
    else:
        posterior = bayes.fit(linear(), [ROWS, ROWS[:, :1]], method="laplace", draws=3, rng=1)
        posterior.save(folder / "posterior")
        expected["posterior"] = np.asarray(posterior.predict(ROWS)).tolist()
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
