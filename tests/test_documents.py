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


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_code_of_page_runs(page, tmp_path, monkeypatch):
    for library, needed in NEEDS.items():
        if any(library in code for code in blocks(page)):
            pytest.importorskip(needed)
    end_early(monkeypatch, epochs=3)
    # One namespace for a page: its blocks build on each other.
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "page"}
    for code in blocks(page):
        with warnings.catch_warnings():
            exec(compile(code, str(page), "exec"), namespace)
