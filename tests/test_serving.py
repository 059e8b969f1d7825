"""The service of the guide: right answers from many threads, and refusals that say why."""

import importlib.util
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import theanets

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

with warnings.catch_warnings():
    # Starlette will want another client in a later version.
    warnings.filterwarnings("ignore", message=".*httpx")
    from fastapi.testclient import TestClient

ROOT = Path(__file__).parent.parent
APP = ROOT / "examples" / "serving" / "app.py"


@pytest.fixture(scope="module")
def net():
    net = theanets.Classifier([4, (5, "tanh"), 3], rng=1, mode="FAST_COMPILE")
    net.metadata["classes"] = ["low", "middle", "high"]
    return net


@pytest.fixture(scope="module")
def client(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "net.safetensors"
    net.save(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETWORK", str(path))
        spec = importlib.util.spec_from_file_location("serving_app", APP)
        module = importlib.util.module_from_spec(spec)
        # FastAPI looks annotations up there.
        patch.setitem(sys.modules, "serving_app", module)
        spec.loader.exec_module(module)
        with TestClient(module.app) as client:
            yield client


def test_answers_are_the_networks_from_any_number_of_threads(client, net, rng):
    asked = [rng.normal(size=(n, 4)) for n in (1, 3, 1, 7) * 10]

    def ask(rows):
        found = client.post("/predict", json={"rows": rows.tolist()})
        assert found.status_code == 200
        return found.json()

    with ThreadPoolExecutor(8) as pool:
        for rows, found in zip(asked, pool.map(ask, asked), strict=True):
            np.testing.assert_allclose(found["probabilities"], net.predict_proba(rows), rtol=1e-5)
            assert found["classes"] == [net.metadata["classes"][i] for i in net.predict(rows)]
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "rows", [[[1, 2, 3]], [[1, 2], [3, 4, 5, 6]], [], [["a"] * 4], [[[1] * 4]], [[0] * 4] * 1001]
)
def test_what_does_not_fit_is_refused(client, rows):
    found = client.post("/predict", json={"rows": rows})
    assert found.status_code == 422
    assert found.json()["detail"]
    assert client.post("/predict", json={"rows": [[1, 2, 3, 4]]}).status_code == 200


def test_it_is_short_and_on_the_page():
    assert len(APP.read_text().splitlines()) < 40
    page = (ROOT / "docs" / "guide" / "serving.md").read_text()
    assert "examples/serving/app.py" in page
