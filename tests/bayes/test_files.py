"""Files of posteriors: what ArviZ looks at is in them too, and no pickle."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import theanets

pytest.importorskip("pymc")
xr = pytest.importorskip("xarray")
bayes = pytest.importorskip("theanets.bayes")
draws_of = pytest.importorskip("theanets.bayes.draws")
models = pytest.importorskip("theanets.bayes.models")


@pytest.fixture
def made(rng):
    net = theanets.Regressor([2, (3, "tanh"), 1], dtype="float64", rng=3)
    data = [rng.normal(size=(5, 2)), rng.normal(size=(5, 1))]
    draws = {p.name: rng.normal(size=(2, 3, *p.get_value().shape)) for p in net.params}
    draws["out_noise"] = rng.uniform(size=(2, 3))
    terms = models.terms_of(*models.arrays_of(net, data))
    posterior = bayes.Posterior(net, draws_of.inference_data(draws, net), terms, "test")
    posterior.log_likelihood(data)
    return posterior


def test_all_groups_come_back(made, tmp_path):
    dims = ("chain", "draw")
    moments = np.array([["2026-01-02"] * 3] * 2, "datetime64[s]")
    stats = xr.Dataset(
        {
            "diverging": (dims, np.array([[True, False, True]] * 2)),
            "depth": (dims, np.arange(6, dtype="int32").reshape(2, 3)),
            "energy": (dims, np.arange(6, dtype="float32").reshape(2, 3) / 7),
            "message": (dims, np.array([["a", None, "ü"]] * 2, dtype=object)),
            "when": (dims, moments),
        },
        {"chain": [0, 1], "letter": ("draw", np.array(["x", "yy", "z"]))},
        {"sampling_time": np.float64(1.5), "library": "none", "versions": [1, 2]},
    )
    made.idata["sample_stats"] = xr.DataTree(stats)
    made.idata["sample_stats/deeper"] = xr.DataTree(xr.Dataset({"one": ((), 1.0)}))
    made.idata["posterior"].attrs["precision"] = 2.0
    made.save(tmp_path / "posterior")
    loaded = bayes.Posterior.load(tmp_path / "posterior")
    assert set(loaded.idata.children) == {"posterior", "sample_stats", "log_likelihood"}
    xr.testing.assert_identical(loaded.idata, made.idata)
    for name in stats.variables:
        found = loaded.idata["sample_stats"].to_dataset()[name]
        assert found.dtype == stats[name].dtype and found.dims == stats[name].dims
    # Once more, the same file.
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "posterior").read_bytes()


def test_what_only_a_pickle_holds_is_refused(made, tmp_path):
    made.idata["own"] = xr.DataTree(xr.Dataset({"thing": ("row", np.array([object()]))}))
    with pytest.raises(theanets.FileError, match=r"'thing' of the group 'own'.*del posterior"):
        made.save(tmp_path / "posterior")
    assert not (tmp_path / "posterior").exists()


def test_files_of_the_first_format_are_read(made, tmp_path):
    draws = made.idata["posterior"]
    made.net.save(tmp_path / "net")
    about = {
        "format": "theanets.bayes 1",
        "method": "laplace",
        "noise": {},
        "kinds": [["out", True]],
        "linear": False,
        "spreads": ["out_noise"],
        "attrs": {"precision": 3.0},
        "dims": {str(name): list(draws[name].dims) for name in draws},
    }
    arrays = {f"draws/{name}": np.ascontiguousarray(draws[name].values) for name in draws}
    arrays["network"] = np.frombuffer((tmp_path / "net").read_bytes(), np.uint8)
    save_file(arrays, tmp_path / "old", {"theanets": json.dumps(about)})
    loaded = bayes.Posterior.load(tmp_path / "old")
    own = draws.to_dataset().drop_vars(["chain", "draw"])  # which that one did not hold
    xr.testing.assert_equal(loaded.idata["posterior"].to_dataset(), own)
    assert loaded.idata["posterior"].attrs == {"precision": 3.0}
    x = np.ones((4, 2))
    np.testing.assert_array_equal(loaded.predict(x), made.predict(x))
