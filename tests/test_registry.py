"""Registries of classes, and globs over names."""

import pytest

import theanets
from theanets import names
from theanets.errors import ConfigurationError, UnknownNameError
from theanets.registry import Registry


def make(name, module="m"):
    return type(name, (), {"__module__": module, "__qualname__": name})


@pytest.fixture
def registry():
    found = Registry("thing")
    found.register(make("First"), "one", "First")
    found.register(make("Second"), "two")
    return found


def test_names(registry):
    assert "ONE" in registry
    assert "three" not in registry
    assert 1 not in registry
    assert registry["oNe"] is registry["first"]
    assert registry.canonical("First") == "one"
    assert list(registry) == ["one", "two"]
    assert registry.names() == ["one", "first", "two"]
    assert registry.name_of(registry["first"]) == "one"
    assert registry.name_of(make("Other")) is None


@pytest.mark.parametrize("get", [Registry.__getitem__, Registry.canonical])
def test_unknown(registry, get):
    with pytest.raises(UnknownNameError, match=r"unknown thing 'frist' \(did you mean 'first'\?\)"):
        get(registry, "frist")


def test_taken_names_are_refused(registry):
    with pytest.raises(ConfigurationError, match=r"'one' is taken by m\.First; rename x\.Third"):
        registry.register(make("Third", "x"), "three", "ONE")
    assert "three" not in registry


def test_a_new_definition_replaces_the_old_one_with_all_its_names(registry):
    new = make("First")
    registry.register(new, "first")
    assert registry["first"] is new
    assert "one" not in registry
    assert sorted(registry) == ["first", "two"]


@pytest.mark.parametrize(
    "base", [theanets.Layer, theanets.Loss, theanets.Activation, theanets.Regularizer]
)
def test_subclasses(base):
    def define(name, **kwargs):
        return type(base)(name, (base,), {"__module__": "somewhere"}, **kwargs)

    stem = f"Own{base.__name__}"
    made = define(stem, names=(f"{stem}-Alias",))
    assert base.registry[stem.lower()] is base.registry[f"{stem}-alias".lower()] is made
    assert base.registry.name_of(made) == f"{stem}-alias".lower()
    private = define(f"{stem}Private", register=False)
    abstract = define(f"{stem}Abstract", abstract=True)
    assert base.registry.name_of(private) is base.registry.name_of(abstract) is None
    assert f"{stem}private".lower() not in base.registry
    renamed = define(f"{stem}Renamed", register=f"{stem}Other")
    assert base.registry[f"{stem}other".lower()] is renamed
    assert f"{stem}renamed".lower() not in base.registry
    assert base.__name__.lower() not in base.registry


@pytest.mark.parametrize(
    ("base", "taken"),
    [
        (theanets.Layer, "Feedforward"),
        (theanets.Loss, "MSE"),
        (theanets.Activation, "ReLU"),
        (theanets.Regularizer, "WeightL2"),
        (theanets.optimizers.FirstOrder, "Adam"),
    ],
)
def test_names_of_the_package_may_be_taken(base, taken, monkeypatch):
    """Each version has more names, which must not break classes that were written before."""
    registry = base.registry
    for attribute in ("_items", "_canonical"):
        monkeypatch.setattr(registry, attribute, dict(getattr(registry, attribute)))
    before = registry[taken]
    others = [name for name in registry.names() if registry[name] is before]
    others.remove(taken.lower())
    with pytest.warns(UserWarning, match=f"'{taken.lower()}' now means .* and no longer theanets"):
        made = type(taken, (base,), {"__module__": "somewhere"})
    assert registry[taken] is made
    assert registry.name_of(made) == taken.lower()
    assert registry.name_of(before) == (others[0] if others else None)
    assert all(registry[name] is before for name in others)
    # But what is nobody's but the user's is not lost so.
    with pytest.raises(ConfigurationError, match="is taken by somewhere"):
        type(taken, (base,), {"__module__": "elsewhere"})


def test_output_names():
    assert names.output_name("hid1") == "hid1:out"
    assert names.output_name("hid1:pre") == "hid1:pre"
    assert names.split_output("hid1") == ("hid1", "out")
    assert names.split_output("hid1:pre") == ("hid1", "pre")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("hid1.w", ["hid1.w"]),
        ("hid?.w", ["hid1.w", "hid2.w"]),
        ("*.b", ["hid1.b", "hid2.b"]),
        ("hid[!1].*", ["hid2.w", "hid2.b"]),
        ("hid2.b, hid1.w", ["hid1.w", "hid2.b"]),
        (["hid2.b", "*2.*"], ["hid2.w", "hid2.b"]),
        ("HID1.w", []),
    ],
)
def test_match(patterns, expected):
    every = ["hid1.w", "hid1.b", "hid2.w", "hid2.b"]
    assert names.match(patterns, every) == expected
    if expected:
        assert names.match_some("parameter", patterns, every) == expected


@pytest.mark.parametrize("patterns", ["hid1.q", "hid1.w hid1.q", ["hid1.w", "hid1.q"]])
def test_every_pattern_must_match(patterns):
    with pytest.raises(UnknownNameError, match=r"parameter pattern 'hid1\.q' \(did you mean"):
        names.match_some("parameter", patterns, ["hid1.w", "hid2.w"])


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a.b", "a,b", "a*", "a?", "[a]", "a\n"])
def test_words(name):
    assert not names.is_word(name)
    with pytest.raises(ConfigurationError, match="is not a word"):
        theanets.layers.Feedforward(name, size=3)


def test_words_of_any_language():
    assert names.is_word("слой-1_é")


KINDS = [
    theanets.Layer,
    theanets.Loss,
    theanets.Activation,
    theanets.Regularizer,
    theanets.metrics.Metric,
    theanets.optimizers.Optimizer,
    theanets.optimizers.Schedule,
]
CLASSES = [
    found
    for base in KINDS
    for found in (base.registry[name] for name in base.registry)
    if isinstance(found, type) and found.__module__.startswith("theanets.")
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_arguments_that_nobody_takes(cls):
    """Whichever base has the constructor, the message is about the class called."""
    # Some names have a number in them, 'top_5'.
    names = {cls.__name__.lower(), cls.registry.name_of(cls).removesuffix("k")}
    for args, kwargs in (((), {"nonsense": 1}), (range(1, 40), {})):
        with pytest.raises(ConfigurationError) as caught:
            cls(*args, **kwargs)
        message = str(caught.value)
        assert any(name in message.lower() for name in names), message
        assert "nonsense" in message or "too many positional arguments; it takes" in message


@pytest.mark.parametrize(
    "base", [theanets.Layer, theanets.Regularizer, theanets.optimizers.Optimizer]
)
def test_a_class_that_says_its_structure_is_asked_for_it(base):
    """Under the name of before, with what its base class says."""
    attribute = base is theanets.optimizers.Optimizer

    def structure(self):
        more = super(made, self).structure
        return more if attribute else more(), 7

    with pytest.warns(DeprecationWarning, match=r"structure\(\) is now called cache_key\(\)"):
        body = {"structure": property(structure) if attribute else structure}
        made = type(base)("Own", (base,), body, register=False)
    one = object.__new__(made)
    one.__dict__.update(options={}, weight=1.0, patterns=(), inputs=None)
    with pytest.warns(DeprecationWarning):
        assert one.cache_key() == (base.cache_key(one), 7)
