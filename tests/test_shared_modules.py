"""Modules that tests share are found beside their folders, which are no packages."""

from importlib.util import find_spec
from pathlib import Path

TESTS = Path(__file__).parent


def test_folders_of_tests_are_none_of_the_packages_that_they_are_about():
    for folder in TESTS.iterdir():
        if folder.is_dir() and folder.name.isidentifier():
            spec = find_spec(folder.name)
            assert spec is None or str(folder) not in (spec.submodule_search_locations or ()), spec
    assert find_spec("linker_cases").origin == str(TESTS / "linker_cases.py")
