"""Tables on the command line: how they are read, and what columns are."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("click")
import pandas as pd

import theanets
from theanets.cli import columns, reading, target
from theanets.cli.schema import Category, Number, Schema


def frame(**columns):
    return pd.DataFrame({name: list(map(str, texts)) for name, texts in columns.items()})


def find(table, separator=",", **wishes):
    notes = []
    wishes = columns.Wishes(**wishes)
    found = columns.find(table, np.arange(len(table)), notes.append, separator, wishes)
    return found, notes


def look(texts, separator=",", **wishes):
    notes = []
    series = pd.Series(list(map(str, texts)), name="y")
    return columns.look(series, separator, columns.Wishes(**wishes), notes.append), notes


# ---- reading -----------------------------------------------------------------------


@pytest.mark.parametrize("header", ["a,b,a", "a,b, a", '"a",b,"a"'])
def test_two_columns_of_a_name(header, tmp_path):
    (tmp_path / "t.csv").write_text(f"{header}\n1,2,3\n")
    with pytest.raises(theanets.DataError, match="there are two columns 'a'; rename one of them"):
        reading.read(tmp_path / "t.csv")
    # Columns without a name are no such.
    (tmp_path / "t.csv").write_text(",b,\n1,2,3\n")
    assert len(reading.read(tmp_path / "t.csv")[0].columns) == 3


@pytest.mark.parametrize("texts", [["1,234.50", "980.00", "2,000"], ["3.2%", "4 %"], ["$5", "-$7"]])
def test_numbers_with_signs_are_text_which_is_said(texts):
    seen, notes = look(texts * 5)
    assert seen.values is None
    first = next(text for text in texts if not text[0].isdigit() or set(text) & set(",%"))
    assert f"no signs of thousands, percents or currencies, as {first!r} has" in notes[0]


def test_a_file_is_read_as_the_texts_that_it_has(tmp_path):
    text = 'code,"last, first",n,e\n010,"Doe, J",1.50, x \n"a\nb",NA,1e3,\nTRUE,,"",None\n'
    (tmp_path / "t.csv").write_text(text)
    found, separator = reading.read(tmp_path / "t.csv")
    assert separator == "," and list(found) == ["code", "last, first", "n", "e"]
    assert found.to_numpy().tolist() == [
        ["010", "Doe, J", "1.50", "x "],
        ["a\nb", "NA", "1e3", ""],
        ["TRUE", "", "", "None"],
    ]


@pytest.mark.parametrize("separator", [*reading.SEPARATORS])
def test_what_separates_is_told_by_names_that_may_be_quoted(tmp_path, separator):
    others = [s for s in reading.SEPARATORS if s != separator]
    header = [f"a{''.join(others * 3)}x", "b"]
    rows = [["x, y; z | t", "1"], ["", "2"]]
    with open(tmp_path / "t.csv", "w", newline="") as handle:
        writer = csv.writer(handle, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerows([header, *rows])
    found, got = reading.read(tmp_path / "t.csv")
    assert got == separator and list(found) == header
    assert found.to_numpy().tolist() == rows


def test_the_separator_of_training_is_taken_first(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c;d\n1;2\n")
    assert list(reading.read(tmp_path / "t.csv", ";")[0]) == ["a,b,c", "d"]
    assert list(reading.read(tmp_path / "t.csv", "\t")[0]) == ["a", "b", "c;d"]


def test_rows_longer_than_the_names_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(theanets.DataError, match=r"first row has 3 values, but .* has 2"):
        reading.read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,b\n1\n")
    assert reading.read(tmp_path / "t.csv")[0].to_numpy().tolist() == [["1", ""]]


def test_what_is_a_number():
    texts = [
        "1",
        "-1.5",
        "+.5",
        "2.",
        "1e3",
        "1.5E-2",
        "inf",
        "1_0",
        "0x1",
        "1,5",
        "",
        "TRUE",
        "１",
    ]
    found = reading.numbers(pd.Series(texts))
    np.testing.assert_equal(found[:7], [1, -1.5, 0.5, 2, 1000, 0.015, np.inf])
    assert np.isnan(found[7:]).all()
    np.testing.assert_equal(reading.numbers(pd.Series(["1,5", "1.5"]), ","), [1.5, np.nan])


# ---- what columns are --------------------------------------------------------------


def test_columns():
    table = frame(
        n=[1, 2, "NA", 4.0],
        c=["u", "", "v", "u"],
        b=["TRUE", "FALSE", "TRUE", "TRUE"],
        one=[1, 1, 1, 1],
        nothing=["", "", "", ""],
    )
    known, notes = find(table)
    assert known == [
        Number("n", 7 / 3, pytest.approx(np.std([1, 2, 4])), ".", ["NA"]),
        Category("c", ["u", "v"]),
        Category("b", ["FALSE", "TRUE"]),
    ]
    assert notes == [
        "column 'n': 3 of 4 values are numbers; 'NA' is taken as missing",
        "column 'one' is left out: it has one value",
        "column 'nothing' is left out: it has no values",
    ]
    mean, scale = 7 / 3, np.std([1, 2, 4])
    numbers = [(1 - mean) / scale, (2 - mean) / scale, 0, (4 - mean) / scale]
    expected = np.array([[1, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 1]])
    np.testing.assert_allclose(
        Schema(known).encode(table), np.column_stack([numbers, expected]), rtol=1e-12
    )
    said = []
    new = frame(b=["True"], c=["w"], n=["?"])
    np.testing.assert_array_equal(Schema(known).encode(new, said.append)[0], [0, 0, 0, 0, 0])
    assert [text.partition(" was not")[0] for text in said] == [
        "column 'c': 'w' (1 of 1 values)",
        "column 'b': 'True' (1 of 1 values)",
    ]


def test_few_texts_among_numbers_are_missing_and_said():
    x = [*map(str, range(341))]
    seen, notes = look([*x, "?"])
    assert notes == ["column 'y': 341 of 342 values are numbers; '?' is taken as missing"]
    assert seen.odd == ["?"] and seen.missing.sum() == 1 and seen.values[340] == 340
    # A marker that is not one of the usual, and many of it.
    assert look([*x, *["unknown"] * 300])[0].odd == ["unknown"]
    # Many different ones are typing errors if they are rare.
    assert look([*x, "1o", "2o", "3o", "4o"])[0].odd == ["1o", "2o", "3o", "4o"]
    seen, notes = look([*x, *(f"{i}o" for i in range(40))])
    assert seen.values is None and "341 of 381 values are numbers, but not '0o'" in notes[0]
    assert len(look([*x, *(f"{i}o" for i in range(40))], numeric=["y"])[0].odd) == 40
    # Of few different numbers, a text among them is one more category.
    seen, notes = look(["1", "2", "3", "X"] * 20)
    assert seen.values is None and "'X'" in notes[0]
    assert look(["1", "2", "3", "NA"] * 20)[0].odd == ["NA"]
    assert look(["1", "2", "NA"] * 20, categorical=["y"])[0].values is None
    seen, notes = look(["010", "10", "0.5", "0"])
    assert list(seen.values) == [10, 10, 0.5, 0] and "lose leading zeros, as of '010'" in notes[0]
    assert look(["010", "10"], categorical=["y"])[1] == look(["10", "0"])[1] == []
    # Usual markers among texts are texts.
    assert not look(["a", "None", "NA", "?"] * 9)[0].missing.any()
    assert look(["a", "None", "b"] * 9, missing=["None"])[0].missing.sum() == 9
    assert look(["1", "-99", "2", "3"] * 9, missing=["-99"])[0].missing.sum() == 9


def test_texts_that_nearly_all_differ_are_left_out():
    many = 120
    table = frame(
        name=[f"n{i}" for i in range(many)],
        street=[f"s{i % 70}" for i in range(many)],
        town=[f"t{i % 50}" for i in range(many)],
        x=range(many),
    )
    known, notes = find(table)
    assert [column.name for column in known] == ["town", "x"]
    assert [note.partition(" is left")[0] for note in notes] == ["column 'name'", "column 'street'"]
    assert "120 different values in 120 rows; --categorical 'name'" in notes[0]
    known, notes = find(table, categorical=["name", "x"])
    assert len(known[0].categories) == len(known[2].categories) == many and len(notes) == 1


def test_decimal_commas():
    table = frame(x=["1,5", "-2,25", "4"], text=["a", "b", "1,5 m"], y=["3", "", "1,0"])
    known, _ = find(table, ";", categorical=["text"])
    x = Schema(known).encode(table)
    numbers = np.array([1.5, -2.25, 4])
    np.testing.assert_allclose(x[:, 0], (numbers - numbers.mean()) / numbers.std())
    np.testing.assert_allclose(x[:, -1], [1, 0, -1])
    assert [c.decimal for c in known if isinstance(c, Number)] == [",", ","]
    # It is settled by training, and where commas separate it is a point.
    with pytest.raises(theanets.DataError, match=r"with ',' as decimal point, but '1.5' in row 2"):
        Schema(known).encode(frame(x=["1", "1.5"], text=["a", "a"], y=["1", "1"]))
    assert look(["1,5", "2"])[0].values is None


def test_infinite_values_are_found_in_any_row():
    known = Schema([Number("x", 0.0, 1.0)])
    for text in ("inf", "-Infinity", "1e999"):
        with pytest.raises(theanets.DataError, match="column 'x' has infinite values"):
            known.encode(frame(x=["1", text]))
        with pytest.raises(theanets.DataError, match="column 'x' has infinite values"):
            find(frame(x=["1", text]))
    with pytest.raises(theanets.DataError, match="no deviation"):
        find(frame(x=["1e308", "-1e308", "1e308"]))


def test_what_is_classes():
    for values, right in (
        (["a", "b"] * 10, True),
        ([True, False] * 10, True),
        ([0, 1] * 10, True),
        ([0.0, 1.0] * 10, True),
        (["0", "1", "?"] * 10, True),
        (range(100), False),
        ([0.5, 1.0] * 10, False),
    ):
        assert target.is_classes(look(values)[0]) is right
    numbers, labels = target.Classes.of(look([10, 9, 10.0, 9])[0])
    assert numbers.names == ["9", "10"] and list(labels) == [1, 0, 1, 0]
    with pytest.raises(theanets.DataError, match="'y' has 12 different texts in 12 rows"):
        target.is_classes(look([f"t{i}" for i in range(12)])[0])


cell = st.one_of(
    st.sampled_from(["010", "10", "1.50", "1e3", "TRUE", "NA", "None", "?", "", "a", "b", " b"]),
    st.sampled_from(["1,5", "2,25", "-4"]),
    st.integers(-3, 30).map(str),
    st.floats(-1e6, 1e6).map(repr),
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_row_says_the_same_whatever_is_beside_it(data):
    """A table, a permutation of its rows, some of them, and each row alone."""
    rows = data.draw(st.lists(st.tuples(cell, cell, cell), min_size=4, max_size=40))
    table = pd.DataFrame(rows, columns=["x", "y", "z"], dtype=str)
    separator = data.draw(st.sampled_from(",;"))
    try:
        known, _ = find(table, separator)
    except theanets.DataError:
        return
    schema = Schema.from_dict(Schema(known, separator=separator).to_dict(), "here")
    x = schema.encode(table)
    some = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    assert np.array_equal(schema.encode(table.iloc[some].reset_index(drop=True)), x[some])
    for i in some[:3]:
        assert np.array_equal(schema.encode(table.iloc[[i]]), x[[i]])
    # And what differs as text, or as a number, has other inputs.
    for column in known:
        if isinstance(column, Category):
            own = Schema([column]).encode(table)
            texts = table[column.name].str.strip()
            for i in some:
                assert ([*own[i]] == [*own[0]]) == (
                    texts[i] == texts[0] or not (own[i].any() or own[0].any())
                )
