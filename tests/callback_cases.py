"""What the tests of the callbacks share: a network, data, and a callback that fails."""

import numpy as np

import theanets

TRAIN = dict(algo="sgd", learning_rate=0.1, batch_size=4, progress=False)


def make():
    return theanets.Regressor([2, 3, 1], rng=13, mode="FAST_COMPILE")


def data(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)), rng.normal(size=(n, 1))


class Stop(Exception):
    pass


def fail_at(epoch):
    def fail(run):
        if run.epoch == epoch:
            raise Stop

    return fail


def losses(values):
    """Make callbacks see a network whose validations give certain losses."""

    class Fake(theanets.Callback):
        def start(self, run):
            every = iter(values)
            run.history.initial = {}
            real = run._evaluate
            run._evaluate = lambda data: {**real(data), "loss": next(every)}

    return Fake()
