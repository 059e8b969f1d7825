"""Posteriors that earlier states of the format wrote are read; those of later ones are refused."""

import json
from pathlib import Path

import make_files
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import theanets

pytest.importorskip("pymc")
bayes = pytest.importorskip("theanets.bayes")
files = pytest.importorskip("theanets.bayes.files")

PATHS = sorted((Path(__file__).parents[1] / "files").glob("*/posterior"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.parent.name)
def test_posteriors(path):
    posterior = bayes.Posterior.load(path)
    assert posterior.method == "laplace"
    expected = json.loads(path.with_name("expected.json").read_text())["posterior"]
    np.testing.assert_allclose(posterior.predict(make_files.ROWS), expected, rtol=1e-6)


def test_later_formats_are_refused(tmp_path):
    path = tmp_path / "later"
    about = {"format": f"{files.FORMAT} {files.VERSION + 1}"}
    save_file(load_file(PATHS[-1]), path, {"theanets": json.dumps(about)})
    later, known = files.VERSION + 1, files.VERSION
    match = rf"later version of theanets \(format {later} .* up to {known}"
    with pytest.raises(theanets.FileError, match=match):
        bayes.Posterior.load(path)
    save_file(load_file(PATHS[-1]), path, {"theanets": json.dumps({"format": "another 1"})})
    with pytest.raises(theanets.FileError, match="no file of a posterior"):
        bayes.Posterior.load(path)
