"""The commands on tables of everyday: what each says of rows that are not as they should be."""

import csv
import io
import os
import subprocess
import sys

import pytest

pytest.importorskip("click")
from click.testing import CliRunner

import theanets
from theanets.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0, **kwargs):
        found = CliRunner().invoke(main, [str(a) for a in arguments], **kwargs)
        assert found.exit_code == code, found.output
        return found

    return run


def write(path, header, rows, separator=","):
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, delimiter=separator).writerows([header, *rows])


def test_a_table_of_another_decimal_point(run, tmp_path):
    numbers = [i + 0.5 for i in range(40)]
    write("train.csv", ["x", "y"], [[x, 2 * x] for x in numbers])
    write("points.csv", ["x", "id"], [["3.5", "a"], ["7", "b"]])
    write("commas.csv", ["x", "id"], [["3,5", "a"], ["7", "b"]], ";")
    run("train", "train.csv", "-t", "y", "-o", "net", "-e", "1", "--mode", "FAST_COMPILE")
    mode = ("--mode", "FAST_COMPILE")
    found = run("predict", "net", "commas.csv", *mode, code=1).output
    assert (
        "numbers in training, but '3,5' in row 1; if that is a number, --decimal ',' reads" in found
    )
    expected = run("predict", "net", "points.csv", *mode).output
    assert run("predict", "net", "commas.csv", "--decimal", ",", *mode).output == expected
    found = run("predict", "net", "points.csv", "--decimal", ",", *mode, code=1).output
    assert (
        "with ',' as decimal point, but '3.5' in row 1; if that is a number, --decimal '.'" in found
    )
    write("text.csv", ["x", "id"], [["3.5", "a"], ["1.234,5 m", "b"]], ";")
    found = run("predict", "net", "text.csv", *mode, code=1).output
    assert "say --missing '1.234,5 m'" in found and "--decimal" not in found


@pytest.fixture
def messy(tmp_path, rng):
    """A table with codes, truth values, a marker among numbers, names, and two targets."""
    rows = []
    for i in range(90):
        code = "A1" if i % 11 == 0 else ("010", "10", "1.50", "1e3")[rng.integers(4)]
        amount = "?" if i == 17 else f"{rng.normal():.3f}"
        klass = ("None", "NA", "good")[(code > "1") + (rng.random() < 0.3)]
        grade = "" if i in (5, 6) else int(rng.integers(3))
        rows.append([i, f"Doe, J{i}", code, ("TRUE", "FALSE")[i % 2], amount, grade, klass])
    write(tmp_path / "t.csv", ["id", "name", "code", "flag", "amount", "grade", "klass"], rows, ";")
    return rows


@pytest.mark.parametrize("name", ["klass", "amount"])
def test_predictions_are_those_of_each_row_alone(run, tmp_path, messy, name):
    found = run(
        "train", "t.csv", "-t", name, "-e", 2, "--ignore", "grade", "--mode", "FAST_COMPILE"
    )
    assert "column 'name' is left out" in found.stderr
    assert "column 'amount': 89 of 90 values are numbers; '?' is taken as missing" in found.stderr
    options = ["--mode", "FAST_COMPILE", "--keep", "id"]
    if name == "klass":
        options.append("--probabilities")

    def predict(rows, separator=";"):
        header = ["id", "name", "code", "flag", "amount", "grade", "klass"]
        write(tmp_path / "some.csv", header, rows, separator)
        said = run("predict", "t.safetensors", "some.csv", *options).stdout
        return list(csv.DictReader(io.StringIO(said)))

    whole = predict(messy)
    assert [row["id"] for row in whole] == [str(i) for i in range(90)]
    assert len({tuple(row.values())[1:] for row in whole}) > 20
    assert predict(messy[::-1], ",") == whole[::-1]
    some = [3, 40, 11, 17]
    assert predict([messy[i] for i in some]) == [whole[i] for i in some]
    for i in some:
        assert predict([messy[i]]) == [whole[i]]


def test_classes_have_the_names_that_the_file_has(run, messy):
    said = run("train", "t.csv", "-t", "klass", "-e", 1, "--mode", "FAST_COMPILE")
    assert "classification, 3 classes" in said.stdout and "without a value" not in said.stderr
    options = ("--mode", "FAST_COMPILE", "--keep", "klass", "--keep", "id")
    said = run("predict", "t.safetensors", "t.csv", *options).stdout
    rows = list(csv.DictReader(io.StringIO(said)))
    assert list(rows[0]) == ["klass", "id", "klass (predicted)"]
    assert [row["klass"] for row in rows] == [row[-1] for row in messy]
    assert {row["klass (predicted)"] for row in rows} <= {"None", "NA", "good"}
    # Integers with a missing one stay integers.
    said = run("train", "t.csv", "-t", "grade", "-e", 1, "-o", "g", "--mode", "FAST_COMPILE")
    assert "classification, 3 classes" in said.stdout
    assert "2 rows without a value of 'grade' are left out" in said.stderr
    said = run("predict", "g", "t.csv", "--mode", "FAST_COMPILE").stdout
    assert set(said.split()[1:]) <= {"0", "1", "2"}


def test_a_number_that_is_none_is_named_with_its_row(run, messy):
    run("train", "t.csv", "-t", "klass", "-e", 1, "--mode", "FAST_COMPILE")
    messy[2][4] = "n/k"
    write("new.csv", ["id", "name", "code", "flag", "amount", "grade", "klass"], messy)
    said = run("predict", "t.safetensors", "new.csv", code=1).stderr
    assert "'n/k' in row 3" in said and "--missing 'n/k'" in said
    run("predict", "t.safetensors", "new.csv", "--missing", "n/k", "--mode", "FAST_COMPILE")
    said = run("predict", "t.safetensors", "new.csv", "--keep", "ident", code=1).stderr
    assert "unknown column 'ident'" in said


def test_columns_that_the_options_name_exist(run, messy):
    for option in ("--categorical", "--numeric", "--ignore"):
        said = run("train", "t.csv", "-t", "klass", option, "nam", code=1).stderr
        assert "unknown column 'nam' (did you mean 'name'?)" in said
    both = ("--categorical", "id", "--numeric", "id")
    assert "both" in run("train", "t.csv", "-t", "klass", *both, code=1).stderr


def test_networks_of_before_are_to_be_trained_again(run, messy):
    net = theanets.Classifier([1, 2])
    old = [{"name": "id", "mean": 0.0, "scale": 1.0}]
    net.metadata["table"] = {"target": "klass", "columns": old, "kind": {"names": ["a", "b"]}}
    net.save("old.safetensors")
    for command in (("predict", "old.safetensors", "t.csv"), ("info", "old.safetensors")):
        said = run(*command, code=1).stderr
        assert "train it again" in said and len(said.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes of a shell")
def test_a_reader_that_goes_away_is_no_error(run, messy, tmp_path):
    """As a module, with output that fits into a buffer and with more than a pipe holds."""
    run("train", "t.csv", "-t", "klass", "-e", 1, "--mode", "FAST_COMPILE")
    write("long.csv", ["id", "name", "code", "flag", "amount", "grade", "klass"], messy * 200)
    first = f"{sys.executable} -c 'import sys; print(sys.stdin.readline(), end=\"\")'"
    for command, reader in (
        ("predict t.safetensors long.csv --keep name --mode FAST_COMPILE", first),
        ("info t.safetensors", "true"),
    ):
        shell = f"{sys.executable} -m theanets {command} | {reader}; echo ${{PIPESTATUS[0]}} >&2"
        done = subprocess.run(
            ["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=300,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.stderr == "141\n" and done.stdout == "name,klass\n" * (reader == first)


def test_rows_that_end_early_are_said(run, tmp_path):
    rows = [[i, i % 3, "ab"[i % 2]] for i in range(40)]
    write("whole.csv", ["a", "b", "y"], rows)
    mode = ("--mode", "FAST_COMPILE")
    whole = run("train", "whole.csv", "-t", "y", "-o", "net", "-e", "1", *mode).output
    assert "early" not in whole
    write("early.csv", ["y", "a", "b"], [["a", 1, 2], ["b", 3], ["a", 4, ""], ["b"]])
    found = run("predict", "net", "early.csv", *mode).output
    assert "early.csv: 2 rows end early, the first is row 2; what is not there is taken" in found
    assert len(found.splitlines()) == 2 + 4


def test_what_is_read_is_not_written_over(run, tmp_path):
    table = tmp_path / "table.csv"
    text = "x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(20))
    table.write_text(text)
    found = run("train", table, "--target", "y", "--output", table, code=1)
    assert "is the file" in found.output
    run("train", table, "--target", "y", "--output", tmp_path / "m.safetensors", "--epochs", 1)
    for other in (table, tmp_path / "m.safetensors"):
        found = run("predict", tmp_path / "m.safetensors", table, "--output", other, code=1)
        assert "is the file" in found.output
    assert table.read_text() == text
