"""What the tests of training layer by layer share: data, and a callback that watches the stages."""

import theanets

ROWS = 40


def values(net):
    return {p.name: p.get_value() for p in [*net.params, *net.state]}


def same(first, second):
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


class Watch(theanets.Callback):
    """Keeps the values of a network's parameters at the start and the end of each run."""

    def __init__(self, net):
        self.net, self.starts, self.ends, self.first, self.runs = net, [], [], [], []

    def start(self, run):
        self.starts.append(values(self.net))
        self.first.append(dict(run.valid))
        self.runs.append(run)

    def end(self, run):
        self.ends.append(values(self.net))
