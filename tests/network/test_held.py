"""Whatever sets the parameters of a network does so while it has their locks.

Another thread that predicts then has all of a change or nothing; tests/network/test_torn.py
tries that with threads, as far as it can be hit.
"""

import numpy as np
import pytest

import theanets
from theanets import process

X = np.random.default_rng(0).normal(size=(12, 3)).astype("f")
Y = X[:, :2] * 3

WAYS = {
    "sgd": dict(algo="sgd", learning_rate=0.1),
    "max_norm": dict(algo="sgd", max_norm=0.5),
    "frozen": dict(algo="sgd", max_norm=0.5, freeze="hid1"),
    "sample": dict(algo="sample"),
    "layerwise": dict(algo="layerwise"),
    "l-bfgs": dict(algo="l-bfgs"),
    "average": dict(algo="sgd", average="ema"),
}


@pytest.fixture
def setting(monkeypatch):
    """Get a function that tells, of a network, which parameters were set, and how often.

    One that is set by a thread that has not its lock fails the test.
    """
    watched = {}

    def watch(net):
        for variable in [*net.params, *net.state]:
            watched[variable.container] = variable.name
            kind = type(variable)
            if kind in kinds:
                continue
            kinds[kind] = original = kind.set_value

            def set_value(self, *args, _original=original, **kwargs):
                name = watched.get(self.container)
                if name is not None:
                    seen.append(name)
                    locks = process.share([self])
                    if not all(lock.thread_lock._is_owned() for lock in locks):
                        alone.append(name)
                return _original(self, *args, **kwargs)

            monkeypatch.setattr(kind, "set_value", set_value)
        return seen, alone

    kinds, seen, alone = {}, [], []
    return watch


def network():
    net = theanets.Regressor(
        [{"name": "in", "size": 3}, (4, "tanh"), (3, "tanh"), 2], rng=1, mode="FAST_COMPILE"
    )
    for param in net.params:
        param.set_value(3 * param.get_value() + 1)  # beyond the limit of norms
    return net


@pytest.mark.parametrize("way", WAYS)
def test_training_sets_parameters_under_their_locks(way, setting):
    net = network()
    seen, alone = setting(net)
    net.train([X, Y], epochs=2, **WAYS[way])
    assert seen
    assert not alone


def test_a_layer_of_two_inputs_is_sampled_at_one_moment(setting):
    net = theanets.Regressor(
        [
            3,
            dict(size=4, name="one"),
            dict(size=4, name="two", inputs="in"),
            dict(size=3, name="both", inputs=("one", "two")),
            2,
        ],
        rng=1,
        mode="FAST_COMPILE",
    )
    seen, alone = setting(net)
    net.train([X, Y], algo="sample")
    assert len(set(seen)) > 2
    assert not alone


def test_profiles_and_checkpoints_set_parameters_under_their_locks(setting, tmp_path):
    net = network()
    seen, alone = setting(net)
    net.profile([X, Y], repeats=1)
    assert seen
    del seen[:]
    for epochs in (1, 2):  # the second time from the file
        net.train([X, Y], algo="sgd", epochs=epochs, checkpoint=tmp_path / "run.ckpt")
    assert seen
    assert not alone
