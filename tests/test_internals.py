"""The pages for those who change the code, compared with it."""

import re
from pathlib import Path

import pytest
from package_source import Package
from test_imports import RANKS

ROOT = Path(__file__).resolve().parents[1]
INTERNALS = ROOT / "docs" / "internals.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
STEP = re.compile(r"^( *)- `([\w/]+\.py)`: ", re.MULTILINE)
BLOCK = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def theanets():
    return Package(ROOT / "theanets")


def section(page, title):
    """Get the part of a page below a title, up to the next of its level."""
    text = page.read_text(encoding="utf-8")
    level = title.split()[0]
    assert text.count(f"\n{title}\n") == 1, f"{page.name} has no section {title!r}"
    return re.split(rf"^{level} ", text.split(f"\n{title}\n")[1], flags=re.MULTILINE)[0]


def way(text):
    """Get the steps of a nested list: pairs (file, that which it is below, or None)."""
    steps, above = [], []
    for indent, file in STEP.findall(text):
        del above[len(indent) // 2 :]
        assert len(above) == len(indent) // 2, f"{file}: indented too far"
        steps.append((file, above[-1] if above else None))
        above.append(file)
    return steps


def module(file):
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def rooms(text):
    """Get the lines of the one table of rooms, each as a set of names."""
    (table,) = BLOCK.findall(text)
    return [set(re.split(r"  +# ", line)[0].split()) for line in table.splitlines()]


WAYS = ["### From the call to the compiled function", "### From the compiled function to the end"]


@pytest.mark.parametrize("title", WAYS)
def test_the_way_of_train_is_that_of_the_imports(title, theanets):
    steps = way(section(INTERNALS, title))
    assert len(steps) > 4 and steps[0][1] is None
    for file, above in steps:
        assert (ROOT / "theanets" / file).is_file(), f"{file} does not exist"
        if above is not None:
            known = theanets.sources(module(above))
            assert module(file) in known, f"{above} does not import {file}"


@pytest.mark.parametrize(
    "page, title", [(INTERNALS, "## Floors"), (CONTRIBUTING, "## Direction of imports")]
)
def test_the_table_of_rooms_is_that_of_the_imports(page, title):
    assert rooms(section(page, title)) == RANKS


def test_names_in_code_of_the_way_exist(theanets):
    """Each step names what is entered in its file: a function, a class or a method."""
    for title in WAYS:
        for line in section(INTERNALS, title).splitlines():
            found = STEP.match(line)
            if found is None:
                continue
            rest = line[found.end() :]
            names = re.findall(r"`(\w+(?:\.\w+)?)`", rest)
            assert names, f"{line!r} names nothing"
            source = (ROOT / "theanets" / found[2]).read_text(encoding="utf-8")
            first = names[0].split(".")
            for name in first:
                assert re.search(rf"\b(def|class) {name}\b", source), f"{found[2]}: no {name}"


# The checks themselves.


def test_check_of_a_way():
    text = "- `a.py`: x\n  - `b/__init__.py`: y\n    - `c.py`: z\n- `d.py`: w\nmore\n"
    expected = [
        ("a.py", None),
        ("b/__init__.py", "a.py"),
        ("c.py", "b/__init__.py"),
        ("d.py", None),
    ]
    assert way(text) == expected
    with pytest.raises(AssertionError, match="too far"):
        way("- `a.py`: x\n    - `b.py`: y\n")


def test_check_of_sources(tmp_path):
    """What a package hands on is from the module that has it."""
    root = tmp_path / "theanets"
    (root / "data").mkdir(parents=True)
    (root / "rooms").mkdir()
    for file, text in {
        "__init__.py": "from .net import Net",
        "net.py": "from .data import Dataset\nfrom . import plot, rooms\nrooms.enter(1)",
        "plot.py": "import theanets.data",
        "rooms/__init__.py": "from .door import enter",
        "rooms/door.py": "",
        "data/__init__.py": "from .batches import Dataset",
        "data/batches.py": "from .. import Net",
    }.items():
        (root / file).write_text(text)
    package = Package(root)
    assert package.sources("net") == {"data", "data.batches", "plot", "rooms", "rooms.door"}
    assert package.sources("plot") == {"data"}
    assert package.sources("data.batches") == {"__init__", "net"}


def test_check_of_rooms():
    assert rooms("x\n```\na  b   # what they are\nc\n```\n") == [{"a", "b"}, {"c"}]
