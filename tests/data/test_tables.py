"""Tables of pandas as data, also of columns with missing values; series padded with NaN."""

import numpy as np
import pytest

import theanets
from theanets.data.tables import plain

pd = pytest.importorskip("pandas")

FAST = {"mode": "FAST_COMPILE", "epochs": 2}


def table(dtype):
    values = {"a": [1, 0, 1, 1], "b": [0, 0, 1, 0]}
    return pd.DataFrame(values).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("Int8", "i"),
        ("UInt16", "u"),
        ("Float32", "f"),
        ("Float64", "f"),
        ("boolean", "b"),
        ("bool", "b"),
        ("int64", "i"),
        ({"a": "bool", "b": "float32"}, "f"),
        ({"a": "boolean", "b": "Float64"}, "f"),
        ({"a": "Int64", "b": "float32"}, "f"),
        ("string", "O"),
    ],
)
def test_columns_of_any_type_become_what_they_hold(dtype, kind):
    frame = table(dtype)
    found = plain(frame)
    assert found.dtype.kind == kind or (kind == "O" and found.dtype.kind not in "biufc")
    if kind != "O":
        assert found.tolist() == [[1, 0], [0, 0], [1, 1], [1, 0]]
        assert plain(frame["b"]).tolist() == plain(frame["b"].array).tolist() == [0, 0, 1, 0]
        assert plain([frame, frame]).shape == (2, 4, 2)


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "boolean"])
def test_what_is_missing_is_nan(dtype):
    frame = table(dtype)
    frame.iloc[2, 1] = pd.NA
    np.testing.assert_equal(plain(frame), [[1, 0], [0, 0], [1, np.nan], [1, 0]])
    net = theanets.Regressor([2, 1])
    with pytest.raises(theanets.DataError, match=r"NaN or infinite, the first is nan at \[2, 1\]"):
        net.predict(frame)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", {"a": "bool", "b": "Float64"}])
def test_networks_compute_the_same_of_tables(dtype):
    frame = table(dtype)
    x, y = plain(frame).astype(float), frame["a"]
    nets = [theanets.Classifier([2, 3, 2], rng=1) for _ in range(2)]
    for net, data in zip(nets, ([frame, y], [x, plain(y)])):
        net.train(data, **FAST)
    assert np.array_equal(
        nets[0].predict_proba(frame, mode="FAST_COMPILE"),
        nets[1].predict_proba(x, mode="FAST_COMPILE"),
    )
    assert nets[0].score(frame, y, mode="FAST_COMPILE") == nets[1].score(
        x, plain(y), mode="FAST_COMPILE"
    )


def test_text_and_dates_are_refused():
    net = theanets.Regressor([2, 1])
    for frame in (
        table("string"),
        table("category").apply(lambda c: c.map({0: "x", 1: "y"})),
        pd.DataFrame({"a": pd.to_datetime(["2020", "2021"]), "b": [1, 2]}),
    ):
        with pytest.raises(theanets.DataError, match=r"dtype .*; expected 'in' \(n, 2\)"):
            net.predict(frame)


@pytest.mark.parametrize(
    ("dtype", "lengths"), [("Float64", (3, 5, 2)), ({"u": "float64", "v": "bool"}, (4, 4, 4))]
)
def test_a_list_of_tables_is_one_of_series(lengths, dtype, rng):
    """Of different lengths, and of the same."""
    series = [
        pd.DataFrame({"u": rng.normal(size=n), "v": rng.uniform(size=n) > 0.5}).astype(dtype)
        for n in lengths
    ]
    targets = [frame["u"].cumsum() for frame in series]
    arrays = [frame.to_numpy(float) for frame in series]
    values = [np.asarray(t, float)[:, None] for t in targets]
    results = []
    for x, y in (
        (series, [t.to_frame() for t in targets]),
        (arrays, values),
    ):
        net = theanets.recurrent.Regressor([2, (3, "rnn"), 1], rng=1)
        net.train([x, y], **FAST)
        results.append([net.predict(x, mode="FAST_COMPILE"), net.score(x, y, mode="FAST_COMPILE")])
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-6)
    nets = [theanets.recurrent.Predictor([2, (3, "rnn"), 2], rng=1) for _ in range(2)]
    for net, x in zip(nets, (series, arrays)):
        net.train([x], **FAST)
    assert np.allclose(*(net.find("out.w").get_value() for net in nets))


def test_windows_of_tables(rng):
    frame = pd.DataFrame({"u": range(50), "v": [True, False] * 25}).astype({"v": "boolean"})
    values, target = plain(frame), frame["u"].astype("Int64")
    of_arrays = theanets.recurrent.batches([values, np.arange(50)], 5, 3, rng=1)()
    for given in ([frame, target], [[frame], [target]]):
        found = theanets.recurrent.batches(given, 5, 3, rng=1)()
        assert [part.dtype.kind for part in found] == ["i", "i"]
        assert all(map(np.array_equal, found, of_arrays))
    (alone,) = theanets.recurrent.batches(frame, 5, 3, rng=1)()
    assert np.array_equal(alone, of_arrays[0])


@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("kind", ["Regressor", "Classifier", "Autoencoder"])
def test_what_pads_series_does_not_matter_where_lengths_are_given(layer, kind, rng):
    n = np.array([5, 3, 1, 4])
    there = (np.arange(5) < n[:, None])[..., None]
    x = rng.normal(size=(4, 5, 2)).astype("float32")
    y = x.cumsum(axis=1)[:, :, :1]
    if kind == "Classifier":
        y = (y[..., 0] > 0).astype("int32")
    sizes = {"Regressor": 1, "Classifier": 2, "Autoencoder": 2}
    holder = [{"form": "lengths", "name": "lengths"}] if layer else []
    results = []
    for pad in (0, np.nan, -np.inf):
        net = getattr(theanets.recurrent, kind)([2, *holder, (3, "rnn"), sizes[kind]], rng=1)
        data = {"in": np.where(there, x, np.float32(pad)), "lengths": n}
        given = {"in": data["in"].copy(), "lengths": n}
        if kind != "Autoencoder":
            data["target"] = y if kind == "Classifier" else np.where(there, y, np.float32(pad))
        net.train(data, **FAST)
        found = net.predict(given, mode="FAST_COMPILE")
        results.append((net.evaluate(data, mode="FAST_COMPILE"), found[there[..., 0]]))
        # The caller's are as they were.
        np.testing.assert_array_equal(data["in"], np.where(there, x, np.float32(pad)))
    for result in results[1:]:
        assert result[0] == results[0][0] and np.isfinite(result[0]["loss"])
        np.testing.assert_array_equal(result[1], results[0][1])
    # A NaN within a series is still refused.
    data["in"][1, 2, 1] = np.nan
    with pytest.raises(theanets.DataError, match=r"has 1 entry that is NaN .* at \[1, 2, 1\]"):
        net.train(data, **FAST)


def test_memory_maps_and_batches_may_be_padded_too(tmp_path, rng):
    n = np.array([5, 3, 1, 4])
    there = (np.arange(5) < n[:, None])[..., None]
    x = np.where(there, rng.normal(size=(4, 5, 2)), np.nan)
    y = np.nancumsum(x, axis=1)[:, :, :1]
    mapped = np.memmap(tmp_path / "x", "float64", "w+", shape=x.shape)
    mapped[:] = x
    losses = []
    for data in (
        {"in": np.nan_to_num(x), "lengths": n, "target": y},
        {"in": mapped, "lengths": n, "target": y},
        lambda: [x, n, np.where(there, y, np.nan)],
    ):
        net = theanets.recurrent.Regressor(
            [2, {"form": "lengths", "name": "lengths"}, (3, "rnn"), 1], rng=1
        )
        only = {"train_batches": 1, "valid_batches": 1} if callable(data) else {}
        net.train(data, data, batch_size=4, **FAST, **only)
        losses.append([row["valid_loss"] for row in net.history.rows])
    assert losses[0] == losses[1] == losses[2] and len(losses[0]) == 2


def test_columns_of_objects_that_are_numbers_become_these():
    frame = table("float64").astype(object)
    assert plain(frame).dtype == np.float64
    assert plain(frame["a"].astype(int).astype(object)).dtype == np.int64
    np.testing.assert_array_equal(plain(frame), plain(table("float64")))
    # A number as text is none, nor is a mixture.
    assert plain(frame.assign(b=["1", "2", "3", "4"])).dtype == object
    assert plain(frame.assign(b=[1.0, "2", 3.0, 4.0])).dtype == object


def test_labels_that_are_no_integers_are_told_how_to_become_these(rng):
    net = theanets.Classifier([2, 2])
    x = rng.normal(size=(4, 2))
    for labels, said in (
        (pd.Series(list("abab")), r"column \(\w+\) holds no numbers.*factorize"),
        (pd.Series(list("abab"), name="kind"), r"column 'kind' \(\w+\) holds no numbers"),
        (pd.Series(list("abab"), dtype="category"), r"column \(category\) holds no numbers"),
    ):
        with pytest.raises(theanets.errors.DataError, match=said):
            net.train([x, labels], **FAST)


@pytest.mark.parametrize("value", ["one", pd.Timestamp("2020-01-01"), None])
def test_columns_of_other_objects_stay_objects(value):
    assert plain(pd.Series([value] * 3, dtype=object)).dtype == object
