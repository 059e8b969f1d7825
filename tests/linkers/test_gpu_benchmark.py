"""The benchmark of devices: it runs, tells right from wrong, and survives what fails."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import gpu
    import gpu_checks
    import gpu_networks

    return gpu, gpu_checks, gpu_networks


def test_a_row_that_fails_says_so_and_the_others_go_on(scripts, capsys):
    done = []
    functions = {"one": lambda: 1 / 0, "other": lambda: done.append(1)}
    assert scripts[0].rows(functions) == len(done) == 1
    assert capsys.readouterr().out == "FAILED one: ZeroDivisionError: division by zero\n"


def test_a_process_that_fails_or_takes_too_long_is_told_from_others(scripts, capsys):
    gpu, now = scripts[0], time.perf_counter()
    codes = ["pass", "raise SystemExit(3)", "import os; os.abort()", "import time; time.sleep(99)"]
    jobs = []
    for code in codes:
        with contextlib.suppress(ImportError):
            started = subprocess.Popen([sys.executable, "-S", "-c", code], stderr=subprocess.PIPE)
            jobs.append((started, code[:9], now + (1 if "99" in code else 60)))
    ok, unfinished, failed, late = gpu.finish(jobs)
    assert (ok, unfinished, late) == (0, gpu.UNFINISHED, gpu.UNFINISHED) and failed not in (0, 3)
    for process, *_ in jobs:
        process.stderr.close()
    said = capsys.readouterr().out
    assert "FAILED import os" in said and "UNFINISHED import ti" in said


@pytest.mark.parametrize("wrong", [None, "outputs", "trained"])
def test_numbers_that_are_wrong_are_noticed(scripts, monkeypatch, capsys, wrong):
    checks = scripts[1]
    if wrong:
        plain, calls = getattr(checks, wrong), []

        def changed(*arguments):
            calls.append(1)
            found = plain(*arguments)
            arrays = found[0][0] if wrong == "trained" else found
            arrays[0] = arrays[0] * (1.01 if len(calls) % 2 else 1)
            return found

        monkeypatch.setattr(checks, wrong, changed)
    names = ("losses xe", "algorithms adam")
    some = [case for case in checks.cases(True) if case[0] in names]
    monkeypatch.setattr(checks, "cases", lambda small: [*some, ("nothing", None, 0, {}, [])])
    failed, left = checks.run("FAST_COMPILE", True, True, 0, 1, 60)
    assert (failed, left) == (3 if wrong else 1, 0)
    assert capsys.readouterr().out.count("FAILED") == failed
    assert checks.run("FAST_COMPILE", True, True, 0, 1, -1) == (0, 3)
    assert "NOT REACHED" in capsys.readouterr().out


def test_arrays_that_are_not_finite_or_of_another_shape_are_no_small_difference(scripts):
    apart = scripts[1].apart
    assert apart([np.ones(3)], [np.ones(3)]) == 0
    assert apart([np.full(3, 1.01)], [np.ones(3)]) > 1
    for other in (np.array([1, np.nan, 1]), np.ones((3, 1))):
        with pytest.raises(AssertionError, match="not finite, or of another shape"):
            apart([other], [np.ones(3)])


def test_what_is_compared_are_the_same_networks(scripts):
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    for work in (work for some in scripts[2].works(True).values() for work in some):
        x = work.data()[0][:2]
        net = work.model(work.layers, mode="FAST_COMPILE")
        params, apply = work.plain(np.random.default_rng(0))
        peer = work.torch(torch)
        inputs = torch.from_numpy(x)
        inputs = inputs.permute(0, 3, 1, 2) if x.ndim == 4 else inputs
        shapes = {jax.eval_shape(apply, params, x).shape, tuple(peer(inputs).shape)}
        assert shapes == {(2, *np.atleast_1d(work.out))}
        sizes = {sum(np.size(p) for p in jax.tree.leaves(params))}
        # PyTorch's lstm has two vectors where one does.
        named = peer.named_parameters()
        sizes.add(sum(p.numel() for name, p in named if "bias_hh" not in name))
        assert sizes == {sum(p.get_value().size for p in net.params)}, work.name


@pytest.mark.linker
@pytest.mark.slow
def test_the_small_form():
    pytest.importorskip("jax")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(FOLDER / "gpu.py"), "--small", "--minutes", "30"]
    command += ["--only", "checks", "dense"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  same ") == 4
    assert done.stdout.count("theanets  ") == done.stdout.count("plain JAX  ") == 2
    assert "'up': " in done.stdout and done.stdout.endswith("all is well\n")
