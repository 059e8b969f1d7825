"""The command line, as a user of a shell sees it."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("click")
from click.testing import CliRunner
from sklearn.datasets import load_diabetes, load_iris

import theanets
from theanets import backends, precompile
from theanets.cli import main, table
from theanets.cli.target import Quantity


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, **kwargs):
        found = CliRunner().invoke(main, [str(a) for a in arguments], **kwargs)
        assert found.exit_code == code, found.output
        return found.output

    return run


def write(path, header, rows, separator=","):
    lines = [separator.join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def iris(tmp_path):
    """Iris flowers with names of species, and a column of colours that says nothing."""
    data = load_iris()
    rows = [
        [*row, "red" if i % 2 else "blau", data.target_names[label]]
        for i, (row, label) in enumerate(zip(data.data, data.target, strict=True))
    ]
    rows[3][0] = rows[77][4] = ""
    write(tmp_path / "iris.csv", ["a", "b", "c", "d", "Farbe ö", "species"], rows, ";")
    return tmp_path / "iris.csv"


def test_a_table_with_classes(run, iris):
    said = run("train", iris, "--target", "species", "--epochs", 60, "-r", 0.01)
    assert "classification, 3 classes; 6 inputs from 5 columns" in said
    assert "96 rows to train on, 24 to validate, 30 to test" in said
    accuracy = float(said.split("  accuracy: ")[1].split()[0])
    assert accuracy > 0.85
    assert "always the most frequent class: 0.3333" in said
    assert (iris.parent / "iris.safetensors").exists()

    rows = list(csv.DictReader(io.StringIO(run("predict", "iris.safetensors", iris))))
    names = load_iris().target_names[load_iris().target]
    found = np.array([row["species"] for row in rows])
    assert len(found) == 150 and (found == names).mean() > 0.9

    run("predict", "iris.safetensors", iris, "--probabilities", "-o", "p.csv")
    with open("p.csv", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    chances = np.array([[float(row[f"species={n}"]) for n in sorted(set(names))] for row in rows])
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert [sorted(set(names))[i] for i in chances.argmax(axis=1)] == list(found)

    said = run("info", "iris.safetensors")
    for part in ("Classifier", "'Farbe ö': one of 'blau', 'red'", "'a': a number", "hid1"):
        assert part in said


def test_a_table_with_numbers(run, tmp_path):
    x, y = load_diabetes(return_X_y=True)
    write(tmp_path / "d.csv", [*"abcdefghij", "progress"], np.column_stack([x, y + 1000]))
    said = run("train", "d.csv", "-t", "progress", "-l", "20,10", "-o", "m.safetensors", "-e", 30)
    assert "regression; 10 inputs" in said
    r2 = float(said.split("R2: ")[1].split()[0])
    assert 0.3 < r2 < 0.7
    error = float(said.split("root mean squared error: ")[1].split()[0])
    deviation = float(said.split("deviation of the target: ")[1].split()[0])
    assert 1 - (error / deviation) ** 2 == pytest.approx(r2, abs=1e-3)
    rows = list(csv.DictReader(io.StringIO(run("predict", "m.safetensors", "d.csv"))))
    found = np.array([float(row["progress"]) for row in rows])
    assert 1 - ((found - y - 1000) ** 2).mean() / y.var() > 0.3
    assert "--probabilities" in run("predict", "m.safetensors", "d.csv", "--probabilities", code=1)


def test_the_task_can_be_said(run, tmp_path, rng):
    write(tmp_path / "t.csv", ["x", "n"], [[i / 100, i % 3] for i in range(120)])
    assert "classification, 3 classes" in run("train", "t.csv", "-t", "n", "-e", 1)
    said = run("train", "t.csv", "-t", "n", "-e", 1, "--task", "regression", "-l", "0")
    assert "regression" in said and "R2" in said


def test_digits_of_predictions_far_from_zero(run, tmp_path):
    """The digits of times, whose mean is far larger than how they differ."""
    x = np.arange(60) % 10
    write(tmp_path / "times.csv", ["x", "y"], zip(x, 1700000000 + x, strict=True))
    run("train", "times.csv", "-t", "y", "-l", "0", "--task", "regression", "-e", 2)
    rows = list(csv.DictReader(io.StringIO(run("predict", "times.safetensors", "times.csv"))))
    assert len({row["y"] for row in rows}) == 10
    assert Quantity(0, 3).digits == Quantity(2, 2).digits == 7
    assert Quantity(-2000, 2).digits == 10


@pytest.mark.parametrize("values", [["a"] * 19 + ["b"], [*"abcdefghij"] * 2])
def test_rows_are_split_where_a_part_cannot_have_all_classes(values):
    large, small = table._split(np.array(values), 0.2, True, 0)
    assert (len(large), len(small)) == (16, 4)
    assert sorted([*large, *small]) == list(range(20))


def test_errors_are_one_line(run, iris, tmp_path):
    def error(*arguments, code=1):
        said = run(*arguments, code=code).strip().splitlines()
        assert "Traceback" not in "".join(said)
        return said[-1]

    assert "did you mean 'species'" in error("train", iris, "-t", "speces")
    assert "speed" in error("train", iris, "-t", "species", "-O", "speed")
    assert "100,x" in error("train", iris, "-t", "species", "-l", "100,x", code=2)
    assert "nowhere" in error("train", "nowhere.csv", "-t", "a", code=2)
    (tmp_path / "empty.csv").write_text("")
    assert "empty" in error("train", "empty.csv", "-t", "a")
    (tmp_path / "head.csv").write_text("a,b\n")
    assert "no rows" in error("train", "head.csv", "-t", "a")
    write(tmp_path / "few.csv", ["a", "b"], [[1, 2], [2, 3]])
    assert "2 rows are too few" in error("train", "few.csv", "-t", "b")
    (tmp_path / "latin.csv").write_bytes("größe\n1\n".encode("latin-1"))
    assert "latin.csv: the file is not UTF-8" in error("train", "latin.csv", "-t", "größe")
    assert "latin.csv: the file is not UTF-8" in error("char-rnn", "-d", "latin.csv")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3,4,5\n")
    ragged = error("train", "ragged.csv", "-t", "a")
    assert ragged == "Error: ragged.csv: Expected 2 fields in line 3, saw 3"
    write(tmp_path / "text.csv", ["a", "b"], [[i, f"t{i}"] for i in range(30)])
    assert "regression" in error("train", "text.csv", "-t", "b", "--task", "regression")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    assert "broken.safetensors" in error("info", "broken.safetensors")
    net = theanets.Regressor([2, 1])
    net.save(tmp_path / "plain.safetensors")
    assert "theanets train" in error("predict", "plain.safetensors", iris)
    assert "char-rnn" in error("char-rnn", "-s", "plain.safetensors")
    run("train", iris, "-t", "species", "-e", 1)
    write(tmp_path / "other.csv", ["a", "b"], [[1, 2]])
    assert "no column 'c'" in error("predict", "iris.safetensors", "other.csv")
    write(tmp_path / "words.csv", [*"abcd", "Farbe ö"], [["x", 1, 2, 3, "red"]])
    assert "'a'" in error("predict", "iris.safetensors", "words.csv")
    assert "mode" in error("warmup", "feedforward", "--mode", "FAST_COMPILE")


def test_warmup(run, monkeypatch):
    """Of the kinds that are asked for, with nothing compiled here."""
    monkeypatch.setattr(backends.linker("FAST_COMPILE"), "keeps_on_disk", True)
    lines = run("warmup", "feedforward", "--mode", "FAST_COMPILE").splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r"classifier, 0 hidden layers +\d+\.\d s", lines[0])
    assert re.fullmatch(r"9 networks in \d+ s", lines[-1])
    asked = []
    monkeypatch.setattr(
        precompile, "warmup", lambda *args, **kwargs: asked.append((args, kwargs)) or {}
    )
    assert run("warmup") == "0 networks in 0 s\n"
    run("warmup", "recurrent", "convolution", "--mode", "CVM", "--dtype", "float64")
    assert asked == [
        ((("feedforward", "recurrent", "convolution"),), {"dtype": "float32", "mode": None}),
        ((("recurrent", "convolution"),), {"dtype": "float64", "mode": "CVM"}),
    ]


TEXT = "the cat sat on the mat. " * 200


def test_texts(run, tmp_path):
    (tmp_path / "cat.txt").write_text(TEXT)
    options = ("-s", "cat.safetensors", "-t", 12, "-l", 24, "-r", 0.02, "-b", 8)
    first = run("char-rnn", "-d", "cat.txt", *options, "-e", 8, "--sample", 24, "--prompt", "the c")
    assert "4320 characters to learn, 480 to validate, 11 in the alphabet" in first
    bits = float(first.split(" bits per character")[0].split()[-1])
    assert bits < 0.5
    again = run(
        "char-rnn", "-s", "cat.safetensors", "--sample", 20, "--prompt", "the c", "--greedy"
    )
    assert again.strip() == "the cat sat on the mat. t"
    assert "characters" in run("info", "cat.safetensors")


def test_all_options_of_texts(run, tmp_path):
    (tmp_path / "cat.txt").write_text(TEXT)
    said = run(
        "char-rnn", "-d", "cat.txt", "-d", "cat.txt", "-a", "the cat", "-l", 5, "-l", 4,
        "-L", "gru", "-g", "relu", "-O", "rmsprop", "-p", 2, "-v", 1, "-b", 4, "-B", 3, "-V", 2,
        "-i", 0.01, "-x", 5, "-r", 0.01, "-m", 0.5, "-n", "-S", 1, "-e", 2, "--seconds", 60,
        "--input-noise", 0.1, "--input-dropouts", 0.1, "--hidden-noise", 0.1,
        "--hidden-dropouts", 0.1, "--hidden-l1", 0.01, "--hidden-l2", 0.01, "--weight-l1", 0.01,
        "--weight-l2", 0.01, "--rms-halflife", 10, "--rms-regularizer", 1e-6, "--top-k", 3,
        "--temperature", 1.5, "--seed", 3, "--sample", 10, "--resume",
    )  # fmt: skip
    assert "nothing to resume" in said and "saved the network to char-rnn.safetensors" in said
    assert "6 in the alphabet" in said
    net = theanets.recurrent.Classifier.load("char-rnn.safetensors")
    assert [type(layer).__name__ for layer in net.layers[1:3]] == ["GRU", "GRU"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interruption_saves_and_can_be_resumed(tmp_path):
    (tmp_path / "cat.txt").write_text(TEXT)
    # What runs in the background may have been told to ignore it.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from theanets.cli import main; main()"
    command = [sys.executable, "-c", script, "char-rnn"]
    command += ["-d", "cat.txt", "-l", "8", "-t", "12", "--mode", "FAST_COMPILE", "--sample", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "-p", "1000"], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    state = tmp_path / "char-rnn.safetensors.checkpoint"
    deadline = time.monotonic() + 100
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert "stopped by interrupted; saved the network to char-rnn.safetensors" in said
    assert said.rstrip().endswith("interrupted") and "Traceback" not in said
    assert state.exists() and (tmp_path / "char-rnn.safetensors").exists()
    done = subprocess.run(
        [*command, "--resume", "-e", "1"], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "saved the network" in done.stdout
    assert not state.exists()
