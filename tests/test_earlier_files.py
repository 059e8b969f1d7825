"""Files of earlier states of the format: they are read, predict what they did, and train on."""

import json
import pickle
import shutil
from functools import partial
from pathlib import Path

import make_files
import numpy as np
import pytest

import theanets
from theanets import checkpoint
from theanets.errors import FileError

FOLDERS = sorted(p for p in (Path(__file__).parent / "files").iterdir() if p.is_dir())
NETWORKS = ("classifier", "autoencoder", "recurrent", "convolution", "plain")
DATA = {name: (x, y) for name, (_, x, y) in make_files.models().items()}

each = partial(pytest.mark.parametrize, "folder", ids=lambda path: path.name)


def expected(folder, name):
    return np.array(json.loads((folder / "expected.json").read_text())[name])


def predicted(net, x):
    return net.predict_proba(x) if isinstance(net, theanets.Classifier) else net.predict(x)


def check(net, folder, name):
    """Compare what a network predicts with what it did; then train it."""
    x, targets = DATA[name]
    np.testing.assert_allclose(predicted(net, x), expected(folder, name), rtol=1e-4, atol=1e-6)
    before = [p.get_value() for p in net.params]
    net.train(make_files.data(name, x, targets), algo="adam", epochs=2)
    assert all((p.get_value() != old).any() for p, old in zip(net.params, before, strict=True))


@each(FOLDERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(folder, name):
    path = folder / (f"{name}.gz" if name == "convolution" else name)
    net = theanets.Network.load(path)
    made = make_files.models()[name][0]
    assert type(net) is type(made)
    assert [layer.to_spec() for layer in net.layers] == [layer.to_spec() for layer in made.layers]
    assert [loss.to_spec() for loss in net.losses] == [loss.to_spec() for loss in made.losses]
    if folder != FOLDERS[0]:
        assert net.metadata["made"] == "once"
        assert net.metadata["scale"].shape == (3,)
    values = made.load_params(path)
    np.testing.assert_array_equal(predicted(values, DATA[name][0]), predicted(net, DATA[name][0]))
    check(net, folder, name)


@each(FOLDERS)
def test_pickles(folder):
    net = pickle.loads((folder / "classifier.pickle").read_bytes())
    assert net.history.stop_reason == "epochs"
    assert len(net.history) == 1
    check(net, folder, "classifier")


@each(FOLDERS)
def test_checkpoints_continue_to_the_end_of_the_run(folder, tmp_path):
    path = shutil.copy(folder / "checkpoint", tmp_path / "run")
    net = make_files.run(path)
    assert net.history["epoch"] == [1, 2, 3, 4]
    rows = json.loads((folder / "expected.json").read_text())["checkpoint"]
    for param, row in zip(net.params, rows, strict=True):
        np.testing.assert_allclose(param.get_value(), row, rtol=1e-4, atol=1e-6)
    # The second half of the run has moved them.
    early = theanets.Regressor([4, (5, "tanh"), 2]).load_params(folder / "checkpoint")
    assert all(np.abs(p.get_value() - row).max() > 1e-4 for p, row in zip(early.params, rows))


@each(FOLDERS[1:])  # before, there were no estimators
@pytest.mark.parametrize("name", make_files.ESTIMATORS)
def test_estimators(folder, name):
    pytest.importorskip("sklearn")
    path = folder / f"{name}.pickle"
    estimator = pickle.loads(path.read_bytes())
    x, targets = make_files.ROWS, make_files.ESTIMATORS[name]
    np.testing.assert_allclose(
        make_files.estimated(estimator, x), expected(folder, name), rtol=1e-4, atol=1e-6
    )
    if name == "NetClassifier":
        assert set(estimator.predict(x)) <= {"yes", "no"}
    # Parameters that came later are at their defaults, and it trains on.
    assert estimator.get_params().keys() == type(estimator)().get_params().keys()
    estimator.set_params(warm_start=True, epochs=2, patience=None).fit(x, targets)
    assert estimator.n_iter_ == 2


@each(FOLDERS)
@pytest.mark.parametrize("name", ["classifier", "checkpoint"])
def test_later_formats_are_refused_with_what_to_do(folder, name, tmp_path):
    arrays, header = checkpoint.read(folder / name)
    assert header["version"] <= checkpoint.VERSION
    path = tmp_path / "later"
    checkpoint.write(path, arrays, {**header, "version": checkpoint.VERSION + 1})
    later = rf"later version of theanets \(format {checkpoint.VERSION + 1}; .*up to"
    with pytest.raises(FileError, match=later):
        theanets.Network.load(path)
    with pytest.raises(FileError, match=later):
        theanets.Regressor([4, (5, "tanh"), 2]).load_params(path)
    with pytest.raises(FileError, match=later):
        make_files.run(path)
