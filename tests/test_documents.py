"""The code in README, CONTRIBUTING and the documentation runs; but training ends early."""

import warnings
from pathlib import Path

import pytest
from code_of_pages import blocks
from short_training import end_early

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
# What code that names something needs besides.
NEEDS = {
    "matplotlib": "matplotlib",
    "sklearn": "sklearn",
    "theanets.bayes": "pymc",
    "theanets.dask": "distributed",
    "onnxruntime": "onnxruntime",
    "skl2onnx": "skl2onnx",
    "import torch": "torch",
    "import keras": "keras",
    "theanets.mpi": "mpi4py.MPI",
}
#: Pages of which a block needs PyMC, and the others do not.
WITH_PYMC = [p for p in PAGES if any("pymc" in code for code in blocks(p, ("py",)))]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_code_of_page_runs(page, tmp_path, monkeypatch):
    for library, needed in NEEDS.items():
        if any(library in code for code in blocks(page)):
            pytest.importorskip(needed)
    end_early(monkeypatch, epochs=3)
    monkeypatch.chdir(tmp_path)
    run(blocks(page), page)


@pytest.mark.parametrize("page", WITH_PYMC, ids=lambda p: p.name)
def test_code_of_page_runs_with_pymc(page, tmp_path, monkeypatch):
    pymc = pytest.importorskip("pymc")
    end_early(monkeypatch, epochs=3)
    monkeypatch.chdir(tmp_path)
    sample = pymc.sample
    monkeypatch.setattr(
        pymc, "sample", lambda *a, **kw: sample(5, tune=5, chains=1, progressbar=False)
    )
    run(blocks(page, ("py", "python")), page)


def run(codes, page):
    """Run blocks in one namespace: those of a page build on each other."""
    namespace = {"__name__": "page"}
    for code in codes:
        with warnings.catch_warnings():
            exec(compile(code, str(page), "exec"), namespace)
