"""The script that finds out what runs where: it tries everything, and tells right from wrong."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import theanets

SCRIPT = Path(__file__).parent.parent / "docs" / "make_linker_table.py"


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("make_linker_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_is_in_the_table(table):
    registries = {
        "layers": theanets.Layer.registry,
        "losses": theanets.Loss.registry,
        "algorithms": theanets.optimizers.Optimizer.registry,
        "regularizers": theanets.Regularizer.registry,
    }
    assert list(registries) == list(table.KINDS)
    for kind, registry in registries.items():
        names = {part for name, *_ in table.KINDS[kind]() for part in name.split(", ")}
        assert set(table.canonical(registry)) <= names, kind


def case(table, kind, name):
    return next(found for found in table.KINDS[kind]() if found[0] == name)


def test_what_is_told(table, monkeypatch):
    feedforward = case(table, "layers", "feedforward")
    assert table.attempt("FAST_COMPILE", *feedforward) == "runs"
    assert table.attempt("PY", *feedforward).startswith("UnknownNameError: unknown mode 'PY'")
    use = table.use

    def wrong(mode, *arguments):
        found = use("FAST_COMPILE", *arguments)
        return found if mode == "FAST_COMPILE" else [*found[:-1], found[-1] * 1.01]

    monkeypatch.setattr(table, "use", wrong)
    assert table.attempt("NUMBA", *feedforward) == "differs"
    monkeypatch.setattr(table, "use", lambda mode, *arguments: use("FAST_COMPILE", *arguments))
    assert table.attempt("NUMBA", *feedforward) == "same"
    monkeypatch.setattr(table, "use", lambda *arguments: [np.array([np.nan])])
    assert table.attempt("NUMBA", *feedforward) == "not finite"


def test_the_page(table):
    results = {
        "NUMBA": {"versions": "1", "layers": {"rnn": "same", "gru": "Error: `x`"}},
        "JAX": {"versions": "2", "layers": {"gru": "runs"}},
    }
    text = table.page(results)
    assert "| `rnn` | = |  |" in text and "| `gru` | 1 | + |" in text
    assert text.endswith("## Notes\n\n1. `Error: 'x'`\n")
