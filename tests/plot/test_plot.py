"""Pictures: what is in them, taken from the objects of matplotlib."""

import builtins

import numpy as np
import pytest

import theanets
from theanets import History, plot
from theanets.errors import ConfigurationError, DataError, UnknownNameError

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def made_history():
    found = History()
    valid = [4.0, None, 1.0, 2.0]
    for i, value in enumerate(valid):
        facts = {"epoch": i + 1, "updates": 3 * i + 3, "seconds": 0.5, "learning_rate": 0.1}
        monitors = {} if value is None else {"loss": value, "acc": value / 4}
        found.append(facts, {"loss": 5.0 - i, "acc": 0.1 * i}, monitors)
    found.best_epoch, found.stop_reason = 3, "patience"
    return found


def curves(ax):
    return {line.get_label(): np.transpose(line.get_data()).tolist() for line in ax.lines}


def test_history_of_a_network():
    net = theanets.Regressor([2, 1])
    net.history = made_history()
    ax = plot.history(net)
    assert curves(ax) == {
        "train": [[1, 5], [2, 4], [3, 3], [4, 2]],
        "valid": [[1, 4], [3, 1], [4, 2]],
        "best: epoch 3": [[3, 1]],
    }
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert ax.get_yscale() == "linear"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*curves(ax)]


def test_history_of_a_file(tmp_path):
    made_history().to_csv(tmp_path / "a.csv")
    assert History.from_csv(tmp_path / "a.csv").rows == made_history().rows
    found = made_history()
    # The best is found again, as that of the lowest validation loss.
    assert curves(plot.history(tmp_path / "a.csv")) == curves(plot.history(found))
    assert "best: epoch 3" not in curves(plot.history(str(tmp_path / "a.csv"), "acc"))
    ax = plot.history(found, "acc")
    assert curves(ax)["train"][0] == [1, 0]
    assert curves(ax)["best: epoch 3"] == [[3, 0.25]]


def test_history_of_several_monitors_and_runs():
    _, given = plt.subplots(1, 2)
    axes = plot.history(made_history(), ["loss", "learning_rate"], ax=given, log=True, best=False)
    assert list(axes) == list(given)
    assert axes[0].get_yscale() == "log"
    assert curves(axes[1]) == {"learning_rate": [[i, 0.1] for i in range(1, 5)]}
    assert axes[1].get_ylabel() == "learning rate"
    again = plot.history(made_history(), ax=given[0], color="black", label="b", best=False)
    assert again is given[0]
    assert {*curves(again)} == {"train", "valid", "b, train", "b, valid"}
    assert {line.get_color() for line in again.lines[2:]} == {"black"}
    # Without colours they can be told apart.
    assert len({line.get_linestyle() for line in again.lines[:2]}) == 2


def test_wrong_histories(tmp_path):
    with pytest.raises(ConfigurationError, match="no epochs"):
        plot.history(theanets.Regressor([2, 1]))
    with pytest.raises(UnknownNameError, match=r"'los'.*did you mean 'loss'"):
        plot.history(made_history(), "los")
    with pytest.raises(ConfigurationError, match="neither a network"):
        plot.history(3)
    with pytest.raises(ConfigurationError, match="2 matplotlib Axes"):
        plot.history(made_history(), ["loss", "acc"], ax=plt.gca())
    (tmp_path / "b.csv").write_text("epoch,loss\n1,x\n")
    with pytest.raises(theanets.FileError, match=r"b.csv, line 2"):
        plot.history(tmp_path / "b.csv")
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(theanets.FileError, match="no column 'epoch'"):
        plot.history(tmp_path / "b.csv")


def tile(ax, i, j, shape, zoom):
    """Get the image in row i and column j of a mosaic, as the values of its entries."""
    mosaic = np.asarray(ax.images[0].get_array().filled(np.nan))
    height, width = shape[0] * zoom, shape[1] * zoom
    gap = max(height, width) // 16
    top, left = i * (height + gap), j * (width + gap)
    found = mosaic[top : top + height, left : left + width]
    # Between images there is nothing.
    assert np.isnan(mosaic[height : height + gap]).all() or mosaic.ndim == 3
    return found[zoom // 2 :: zoom, zoom // 2 :: zoom]


def test_weights_of_units(rng):
    net = theanets.Regressor([6, 4, 6])
    w = net.find("hid1.w").get_value()
    ax = plot.weights(net, "hid1.w", shape=(2, 3), columns=2)
    for unit in range(4):
        image = tile(ax, unit // 2, unit % 2, (2, 3), 14)
        np.testing.assert_allclose(image, w[:, unit].reshape(2, 3), rtol=1e-6)
    # White is 0.
    low, high = ax.images[0].get_clim()
    assert -low == high == pytest.approx(abs(w).max())
    np.testing.assert_allclose(ax.images[0].cmap(0.5)[:3], 1, atol=0.05)
    ax = plot.weights(net, "hid1.w", (2, 3), columns=1, scale="each", units=[2, 0])
    assert ax.images[0].get_clim() == (-1, 1)
    image = tile(ax, 0, 0, (2, 3), 14)
    np.testing.assert_allclose(image, w[:, 2].reshape(2, 3) / abs(w[:, 2]).max(), rtol=1e-6)
    ax = plot.weights(net, "out.w", (2, 3), columns=4, outgoing=True, ax=plt.figure().gca())
    w = net.find("out.w").get_value()
    np.testing.assert_allclose(tile(ax, 0, 3, (2, 3), 14), w[3].reshape(2, 3), rtol=1e-6)


def test_weights_of_colours():
    net = theanets.Regressor([12, 2])
    w = np.zeros((12, 2))
    w[:, 0] = np.linspace(-1, 1, 12)
    w[0, 1] = 0.5
    net.find("out.w").set_value(w.astype("float32"))
    ax = plot.weights(net, "out.w", (2, 2, 3), columns=1)
    image = tile(ax, 0, 0, (2, 2), 20)
    np.testing.assert_allclose(image, (w[:, 0].reshape(2, 2, 3) + 1) / 2, atol=1e-6)
    np.testing.assert_allclose(tile(ax, 1, 0, (2, 2), 20)[0, 0], [0.75, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_filters_lie_as_on_the_image(channels):
    form = dict(form="conv2", size=2, filter_size=(3, 4))
    net = theanets.convolution.Regressor([(5, 6, channels), form, "flat", 1])
    w = net.find("hid1.w").get_value()
    w /= abs(w).max()
    net.find("hid1.w").set_value(w)
    # Where an image is like this, and 0 elsewhere, a filter gives the sum of its squares.
    ax = plot.weights(net, "hid1.w", columns=None if channels == 2 else 1)
    if channels == 3:
        found = 2 * tile(ax, 1, 0, (3, 4), 10) - 1
    else:
        found = np.stack([tile(ax, 1, c, (3, 4), 10) for c in range(channels)], axis=-1)
    pre = net.feed_forward(np.pad(found, [(0, 2), (0, 2), (0, 0)])[None])["hid1:pre"]
    assert pre[0, 0, 0, 1] == pytest.approx((w[1] ** 2).sum(), rel=1e-5)


def test_wrong_weights():
    net = theanets.convolution.Regressor([(5, 5, 2), dict(form="conv2", size=2, filter_size=2), 6])
    net = theanets.Regressor([6, 4, 2])
    with pytest.raises(UnknownNameError, match=r"'hid2.w'.*did you mean 'hid1.w'"):
        plot.weights(net, "hid2.w")
    with pytest.raises(ConfigurationError, match="6 values are not a square"):
        plot.weights(net, "hid1.w")
    for shape in [(2, 4), (6,), (2, 3, 2), 6]:
        with pytest.raises(ConfigurationError, match=r"hid1\.w has 6 values"):
            plot.weights(net, "hid1.w", shape)
    with pytest.raises(ConfigurationError, match=r"hid1.b.*\(4,\)"):
        plot.weights(net, "hid1.b")
    with pytest.raises(ConfigurationError, match="scale='mine'"):
        plot.weights(net, "hid1.w", (2, 3), scale="mine")
    with pytest.raises(ConfigurationError, match="units="):
        plot.weights(net, "hid1.w", (2, 3), units=0)


def one_of_three():
    """Get a classifier whose class is the greatest input."""
    net = theanets.Classifier([3, 3])
    net.find("out.w").set_value(np.eye(3, dtype="float32"))
    return net


def test_confusion():
    x = np.eye(3)[[0, 0, 1, 2, 1, 1]]
    y = [0, 1, 1, 2, 1, -1]
    ax = plot.confusion(one_of_three(), x, y, labels=["a", "b", "<c>"])
    found = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(found, [[1, 0, 0], [1 / 3, 2 / 3, 0], [0, 0, 1]])
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    # (column, row); zeros are left out.
    assert texts == {(0, 0): "1", (0, 1): "1", (1, 1): "2", (2, 2): "1"}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "<c>"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    ax = plot.confusion(one_of_three(), x, y, normalize=True, ax=plt.figure().gca())
    assert [text.get_text() for text in ax.texts] == ["100", "33", "67", "100"]


def test_confusion_of_a_class_that_does_not_occur():
    ax = plot.confusion(one_of_three(), np.eye(3)[:1], [1])
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[0] * 3, [1, 0, 0], [0] * 3])


def test_wrong_confusions():
    net, x = one_of_three(), np.eye(3)
    with pytest.raises(DataError, match="2 labels, but there are 3"):
        plot.confusion(net, x, [0, 1])
    with pytest.raises(DataError, match="label 3; the network has 3 classes"):
        plot.confusion(net, x, [0, 1, 3])
    with pytest.raises(DataError, match="not integers"):
        plot.confusion(net, x, [0, 1, 0.5])
    with pytest.raises(ConfigurationError, match="2 names, but the network has 3"):
        plot.confusion(net, x, [0, 1, 2], labels="ab")
    with pytest.raises(ConfigurationError, match="Regressor does not predict classes"):
        plot.confusion(theanets.Regressor([3, 3]), x, [0, 1, 2])


def test_reconstructions(rng):
    net = theanets.Autoencoder([6, 4, 6])
    x = rng.uniform(size=(5, 6)).astype("float32")
    ax = plot.reconstructions(net, x, (2, 3), count=3)
    for i in range(3):
        np.testing.assert_allclose(tile(ax, 0, i, (2, 3), 14), x[i].reshape(2, 3), rtol=1e-6)
        made = net.predict(x)[i].reshape(2, 3)
        np.testing.assert_allclose(tile(ax, 1, i, (2, 3), 14), made, rtol=1e-5)
    assert ax.images[0].get_clim() == (x[:3].min(), x[:3].max())
    height = ax.images[0].get_array().shape[0]
    # Each word is beside its row, whose middle it names.
    assert [label.get_text() for label in ax.get_yticklabels()] == ["input", "output"]
    assert 0 < ax.get_yticks()[0] < height / 2 < ax.get_yticks()[1] < height
    with pytest.raises(DataError, match="outputs have shape"):
        plot.reconstructions(theanets.Regressor([6, 3]), x)
    with pytest.raises(ConfigurationError, match="count=0"):
        plot.reconstructions(net, x, count=0)
    with pytest.raises(DataError, match="x has shape"):
        plot.reconstructions(net, x[0])


@pytest.mark.parametrize("function", ["history", "weights", "confusion", "reconstructions"])
def test_without_matplotlib(function, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    arguments = {"confusion": (None, None, None), "history": (None,)}.get(function, (None, None))
    with pytest.raises(ImportError, match=rf"plot.{function}.*pip install 'theanets\[plot\]'"):
        getattr(plot, function)(*arguments)
    assert plot.graph(theanets.Regressor([2, 1])).startswith("<svg")


def test_axes_that_are_none(rng):
    with pytest.raises(ConfigurationError, match="ax=3"):
        plot.weights(theanets.Regressor([4, 2]), "out.w", ax=3)
