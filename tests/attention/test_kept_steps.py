"""Keys and values of the steps before, kept in arrays with room for those to come."""

from importlib.util import find_spec

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from linker_cases import FORMED

import theanets
from theanets import backends
from theanets.errors import DataError, DerivativeError
from theanets.ops.attention import keep
from theanets.recurrent.rooms import LEAST, Rooms, shortened

MODE = "FAST_COMPILE"
TORCH = pytest.param(
    "PYTORCH", marks=pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
)
REAL = [
    pytest.param(*one.values, marks=[*one.marks, pytest.mark.linker]) for one in (*FORMED, TORCH)
]


def network(window=None, model=theanets.recurrent.Regressor, mode=MODE, **options):
    block = dict(form="attention", heads=2, kv_heads=1, causal=True, window=window, **options)
    return model(
        [3, (4, "linear"), dict(position="rotary", **block), 3], rng=1, dtype="float64", mode=mode
    )


def kept(state):
    return {name: parts for name, parts in state.items() if "keys" in parts}


# ---- the operation ---------------------------------------------------------------


def writing(mode):
    array, rows = pt.tensor3("array", dtype="float64"), pt.tensor3("rows", dtype="float64")
    lengths, places = pt.lvector("lengths"), pt.lvector("places")
    return backends.function(
        [array, rows, lengths, places],
        keep(array, rows, lengths, places),
        mode=mode,
        dtype="float64",
        changed=[array],
    )


@pytest.mark.parametrize("mode", [MODE, *REAL])
def test_rows_are_written_at_their_places(mode, rng):
    array, rows = rng.normal(size=(3, 6, 2)), rng.normal(size=(3, 4, 2))
    expected = array.copy()
    expected[0, 2:6], expected[1, 5:6] = rows[0], rows[1, :1]
    given, function = array.copy(), writing(mode)
    lengths, places = np.array([4, 1, 0]), np.array([2, 5, 1])
    for b in range(3):
        alone = [x[b : b + 1].copy() for x in (array, rows, lengths, places)]
        np.testing.assert_array_equal(np.asarray(function(*alone)), expected[b : b + 1])
    found = function(given, rows, lengths, places)
    np.testing.assert_array_equal(np.asarray(found), expected)
    if mode != "JAX":
        # In place, or a step would cost what all steps so far cost.
        assert np.shares_memory(found, given)


@pytest.mark.parametrize("mode", [MODE, pytest.param("NUMBA", marks=pytest.mark.linker)])
@pytest.mark.parametrize(
    ("lengths", "places"),
    [([4, 4], [0, 3]), ([5, 1], [0, 0]), ([-1, 1], [0, 0]), ([1, 1], [-1, 0]), ([1], [0])],
)
def test_rows_without_room_are_refused(mode, lengths, places):
    with pytest.raises(ValueError, match="attention"):
        writing(mode)(np.zeros((2, 6, 2)), np.ones((2, 4, 2)), np.array(lengths), np.array(places))


def test_what_is_written_has_no_derivative():
    array, rows = pt.tensor3("array"), pt.tensor3("rows")
    lengths, places = pt.lvector("lengths"), pt.lvector("places")
    with pytest.raises(DerivativeError, match="give whole series"):
        pytensor.grad(keep(array, rows, lengths, places).sum(), rows)


# ---- rooms -----------------------------------------------------------------------


def test_rooms_are_used_again_and_grow_by_doubling():
    rooms, rows, count, sizes = Rooms(), (np.zeros((2, 0, 3)),), np.zeros((2, 1)), []
    for step in range(1, 100):
        found = rooms.enter("a", rows, count, 1, None)
        found.rooms[0][:, step - 1] = step
        sizes.append(found.rooms[0].shape[1])
        count = count + 1
        found = rooms.leave("a", found, found.rooms, count)
        rows = found.rows
        assert rows[0].shape == (2, step, 3) and list(found.places) == [step, step]
    assert sizes == sorted(sizes) and set(sizes) == {LEAST, 2 * LEAST, 4 * LEAST, 8 * LEAST}
    np.testing.assert_array_equal(rows[0][1, :, 2], np.arange(1, 100))


def test_last_steps_of_each_series(rng):
    rows = (rng.normal(size=(3, 6, 2)),)
    (found,) = shortened(rows, np.array([6, 2, 0]), 3)
    np.testing.assert_array_equal(found[0], rows[0][0, 3:])
    np.testing.assert_array_equal(found[1, :2], rows[0][1, :2])
    assert not found[1, 2:].any() and not found[2].any()
    for kept in (6, None):
        assert shortened(rows, np.array([6, 2, 0]), kept) is rows


# ---- streams ---------------------------------------------------------------------


@pytest.mark.parametrize("window", [None, 5])
def test_streams_that_part_do_not_disturb_each_other(window, rng):
    """A state may be held, set again, and given to another stream."""
    net, x = network(window), rng.normal(size=(2, 40, 3))
    whole = net.predict(x)
    first = net.stream(2)
    for t in range(20):
        first.step(x[:, t])
    held = first.state
    copied = {n: {k: v.copy() for k, v in parts.items()} for n, parts in held.items()}
    second = net.stream(2)
    second.state = first.state
    for t in range(20, 40):
        # The second goes another way, in turns.
        np.testing.assert_allclose(first.step(x[:, t]), whole[:, t], rtol=1e-9, atol=1e-12)
        second.step(-x[:, t])
    for name, parts in copied.items():
        for key, value in parts.items():
            np.testing.assert_array_equal(held[name][key], value)
    for stream in (first, second):
        stream.state = held
        for t in range(20, 40):
            np.testing.assert_allclose(stream.step(x[:, t]), whole[:, t], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("parts", [(1, 1, 20, 3), (7, 2, 1, 15)])
def test_parts_of_different_lengths(window, parts, rng):
    """By `predict`, of series that have different lengths in each part."""
    net, total = network(window), sum(parts)
    x = [rng.normal(size=(total, 3)) for _ in range(3)]
    whole = net.predict(np.stack(x))
    done, state = np.zeros(3, int), None
    for part in parts:
        many = np.minimum(part, [part, max(part - 1, 1), 1])
        pieces = [one[a : a + n] for one, a, n in zip(x, done, many)]
        found, state = net.predict(pieces, state=state, return_state=True)
        for i, (a, n) in enumerate(zip(done, many)):
            np.testing.assert_allclose(found[i, :n], whole[i, a : a + n], rtol=1e-9, atol=1e-12)
        done += many
        most = max(done) if window is None else min(max(done), window - 1)
        (keys,) = (of["keys"] for of in kept(state).values())
        assert keys.shape == (3, most, 2)


@pytest.mark.parametrize("window", [None, 4])
def test_some_series_that_start_anew(window, rng):
    net, x = network(window), rng.normal(size=(2, 30, 3))
    stream = net.stream(2)
    for t in range(11):
        stream.step(x[:, t])
    stream.reset([1])
    whole, anew = net.predict(x), net.predict(x[1:, 11:])
    for t in range(11, 30):
        found = stream.step(x[:, t])
        np.testing.assert_allclose(found[0], whole[0, t], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[1], anew[0, t - 11], rtol=1e-9, atol=1e-12)
    stream.reset()
    for t in range(3):
        np.testing.assert_allclose(stream.step(x[:, t]), whole[:, t], rtol=1e-9, atol=1e-12)
    (keys,) = (of["keys"] for of in kept(stream.state).values())
    assert keys.shape[1] == 3


def test_states_with_fewer_steps_than_were_counted_are_refused(rng):
    x = rng.normal(size=(1, 6, 3))
    for window, match in ((None, "a series had 6$"), (4, "a series had 6, of which 3 are needed")):
        net = network(window)
        _, state = net.predict(x, return_state=True)
        (name,) = kept(state)
        for key in ("keys", "values"):
            state[name][key] = state[name][key][:, :2]
        with pytest.raises(DataError, match=f"'keys' has 2 steps, but 'count' says that {match}"):
            net.predict(x, state=state)
        stream = net.stream()
        with pytest.raises(DataError, match="'keys' has 2 steps"):
            stream.state = state


@pytest.mark.parametrize("mode", REAL)
def test_generated_steps_on_linkers(mode, rng):
    expected = network(6, theanets.recurrent.Predictor).generate(
        x := rng.normal(size=(2, 3, 3)), 25
    )
    found = network(6, theanets.recurrent.Predictor, mode=mode).generate(x, 25)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.linker
def test_steps_of_a_stream_write_into_one_array(rng):
    """What a step is given and gives is the same memory, so that nothing is copied."""
    stream = network(mode="NUMBA").stream()
    places = set()
    for _ in range(LEAST):
        stream.step(rng.normal(size=3))
        (parts,) = kept(stream._state).values()
        places.add(parts["keys"].__array_interface__["data"][0])
    assert len(places) == 1


@pytest.mark.linker
@pytest.mark.parametrize("window", [None, 5])
def test_steps_under_jax_stay_on_the_device(window, rng):
    """Each has the memory of the one before; what a user got is the user's."""
    pytest.importorskip("jax")
    net, x = network(window, mode="JAX"), rng.normal(size=(2, 30, 3))
    whole, stream, places = network(window).predict(x), net.stream(2), []
    for t in range(10):
        np.testing.assert_allclose(stream.step(x[:, t]), whole[:, t], rtol=1e-9, atol=1e-12)
        (parts,) = kept(stream._state).values()
        places.append(parts["keys"]._room.unsafe_buffer_pointer())
        assert parts["keys"].shape == (2, t + 1, 2)
    # The first one is a copy of what came from the host.
    assert len({*places[1:]}) == 1
    held = stream.state
    copied = {n: {k: v.copy() for k, v in parts.items()} for n, parts in held.items()}
    for t in range(10, 30):
        np.testing.assert_allclose(stream.step(x[:, t]), whole[:, t], rtol=1e-9, atol=1e-12)
    for name, parts in copied.items():
        for key, value in parts.items():
            assert type(held[name][key]) is np.ndarray
            np.testing.assert_array_equal(held[name][key], value)
    stream.state = held
    np.testing.assert_allclose(stream.step(x[:, 10]), whole[:, 10], rtol=1e-9, atol=1e-12)


@pytest.mark.linker
def test_parameters_that_change_between_steps_count_under_jax(rng):
    pytest.importorskip("jax")
    net, x = network(mode="JAX"), rng.normal(size=(1, 3, 3))
    stream = net.stream()
    first = stream.step(x[0, 0])
    net.find("out", "b").get_value(borrow=True)[...] += 1
    stream.reset()
    np.testing.assert_allclose(stream.step(x[0, 0]), first + 1, rtol=1e-9)
