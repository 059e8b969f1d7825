"""Checkpoints of earlier states of this version continue; those of other runs are refused."""

import json

import numpy as np
import pytest

import theanets
from theanets import checkpoint
from theanets.errors import FileError
from theanets.training.identity import describe, differences

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4)).astype("float32")
DATA = (X, np.sin(X[:, :2]))


def without_private(value):
    """Leave out what schedules and regularizers did not have as attributes."""
    if isinstance(value, dict):
        return {k: without_private(v) for k, v in value.items() if not k.startswith("_")}
    return value


def make_old(path, layers=None, **identity):
    """Write a checkpoint as it was before digests, options and means of counts came."""
    arrays, header = checkpoint.read(path)
    del header["initial"], header["cut"], header["identity"]["values"]
    rows = arrays.pop("history").tobytes().splitlines()
    header["history"] = [json.loads(row) for row in rows]
    was = header["identity"]
    was["schedule"] = without_private(was["schedule"])
    for regularizer in was["regularizers"]:
        regularizer[2] = [[pair for pair in regularizer[2][0] if pair[0] != "_given"]]
    was.update(identity)
    kept = {k: v for k, v in arrays.items() if not k.startswith(("state/mean ", "state/examples"))}
    checkpoint.write(path, kept, header)
    return was


def outcome(net):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in net.history]
    return rows, [p.get_value().tobytes() for p in net.params]


def stream():
    rng = np.random.default_rng(1)
    while True:
        x = rng.normal(size=(8, 4)).astype("float32")
        yield x, np.sin(x[:, :2]), np.ones((8, 2), "float32")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_l2": 1e-3, "hidden_dropout": 0.2, "input_noise": {"*:out": 0.1}},
        {"learning_rate_schedule": {"form": "warmup", "updates": 9, "after": "plateau"}},
        {"learning_rate_schedule": {"form": "cosine", "total": 9}},
    ],
    ids=["plain", "regularizers", "nested", "cosine"],
)
def test_runs_continue_to_the_same_bits(options, tmp_path):
    path, make = tmp_path / "run.ckpt", lambda: theanets.Regressor([4, (5, "tanh"), 2], rng=1)
    options = dict(options, algo="sgd", learning_rate=0.1, batch_size=5)
    whole = make()
    whole.train(DATA, epochs=3, **options)
    make().train(DATA, epochs=2, checkpoint=path, **options)
    was = make_old(path)
    assert "_given" not in json.dumps(was)
    net = make()
    net.train(DATA, epochs=3, checkpoint=path, **options)
    assert outcome(net) == outcome(whole)


def test_a_run_on_a_stream_continues_with_means_that_begin_anew(tmp_path):
    path = tmp_path / "run.ckpt"
    options = dict(algo="sgd", train_batches=2, checkpoint=path)

    def train(epochs, batches):
        net = theanets.Regressor([4, (5, "tanh"), 2], weighted=True, rng=1)
        net.train(lambda: next(batches), next(stream()), epochs=epochs, **options)
        return net

    train(2, stream())
    assert any(key.startswith("state/mean count") for key in checkpoint.read(path)[0])
    new = path.read_bytes()
    make_old(path)
    old = train(3, stream())
    path.write_bytes(new)
    # All weights are 1: so is their mean, whether it is of some batches or of none.
    assert outcome(old) == outcome(train(3, stream()))
    # Other state than that is not made up.
    arrays, header = checkpoint.read(path)
    header["counters"].pop("updates")
    checkpoint.write(path, arrays, header)
    with pytest.raises(FileError, match="incomplete"):
        train(4, stream())


RECURRENT = {
    "direction": None,
    "last": False,
    "lengths": None,
    "h_0": None,
    "bptt_limit": None,
    "stateful": False,
    "zoneout": 0.0,
}
#: Options of layers and losses as files had them; and one of each that is not at its default.
LAYERS = {
    "mut1": (RECURRENT, {"inner_bias": True}),
    "scrn": (
        {**RECURRENT, "rate": None, "rates": None, "context_size": None, "s_0": None},
        {"hidden": "relu"},
    ),
    "clockwork": ({**RECURRENT, "periods": [1, 2, 4]}, {"descending": True}),
    "bcrnn": ({**RECURRENT, "num_modules": 2}, {"rates": [0.1, 0.5]}),
    "bidirectional": (
        {
            "worker": "rnn",
            **{key: RECURRENT[key] for key in ("last", "lengths", "bptt_limit", "zoneout", "h_0")},
            **dict.fromkeys(("c_0", "s_0")),
        },
        {"aligned": False},
    ),
}


@pytest.mark.parametrize("form", LAYERS)
def test_options_that_are_new_are_at_their_default(form):
    was, other = LAYERS[form]
    spec = {"form": form, "name": "hid1", "shape": [6], "inputs": ["in:out"]}
    given = {key: was[key] for key in ("periods", "num_modules") if key in was}

    def layer(**options):
        net = theanets.recurrent.Regressor([4, {"form": form, "size": 6, **given, **options}, 2])
        return describe({"layers": {"hid1": net.layers[1].to_spec()}})

    now = layer()
    if "activation" in now["layers"]["hid1"]:
        spec["activation"] = now["layers"]["hid1"]["activation"]
    assert set(now["layers"]["hid1"]) > {*spec, *was}
    assert differences({"layers": {"hid1": {**spec, **was}}}, now) == ""
    assert differences({"layers": {"hid1": {**spec, **was, "last": True}}}, now) == (
        "layers.hid1.last was True, now is False"
    )
    ((key, value),) = other.items()
    assert f"layers.hid1.{key} was" in differences(
        {"layers": {"hid1": {**spec, **was}}}, layer(**{key: value})
    )
    assert differences(layer(**{key: value}), layer(**{key: value})) == ""


#: What losses had by default that has no meaning for them.
GONE = {
    **{key: {"logits": False} for key in ("square", "squentropy", "hinge", "squared_hinge")},
    **{key: {"logits": False} for key in ("structured_hinge", "risk", "soft_ramp", "l_softmax")},
    **{key: {"logits": False, "cost": None} for key in ("crf", "perceptron")},
}


@pytest.mark.parametrize("form", GONE)
def test_options_that_are_gone_were_at_their_default(form):
    now = describe({"losses": [theanets.Loss.build(form).to_spec()]})
    was = {**now["losses"][0], **GONE[form]}
    assert len(was) == len(now["losses"][0]) + len(GONE[form])
    assert differences({"losses": [was]}, now) == ""
    assert differences({"losses": [{**was, "logits": True}]}, now) == (
        "losses[0].logits was True, now is False"
    )
    assert differences({"losses": [{**was, "weight": 2.0}]}, now) != ""


def test_arguments_of_schedules_of_ones_own(tmp_path):
    class Fading(theanets.optimizers.Schedule):
        def __init__(self, rate):
            super().__init__()
            self._rate = rate

        def at(self, time):
            return self._rate**time

    def train(rate, epochs=1):
        schedule = {"form": "fading", "rate": rate}
        net = theanets.Regressor([4, 2], rng=1)
        net.train(DATA, algo="sgd", epochs=epochs, checkpoint=path, learning_rate_schedule=schedule)

    path = tmp_path / "run.ckpt"
    try:
        train(0.9)
        with pytest.raises(FileError, match=r"schedule\._given\.rate was 0\.9, now is 0\.8"):
            train(0.8)
        train(0.9, epochs=2)
        make_old(path)
        train(0.9, epochs=3)
    finally:
        theanets.optimizers.Schedule.registry.forget(Fading)


@pytest.mark.parametrize("identity", [None, 3, [], {"schedule": 3, "layers": 1, "losses": [2]}])
def test_an_identity_that_is_none(identity, tmp_path):
    path, net = tmp_path / "run.ckpt", theanets.Regressor([4, 2], rng=1)
    net.train(DATA, algo="sgd", epochs=1, checkpoint=path)
    arrays, header = checkpoint.read(path)
    checkpoint.write(path, arrays, {**header, "identity": identity})
    with pytest.raises(FileError, match="belongs to another run"):
        net.train(DATA, algo="sgd", epochs=2, checkpoint=path)


def test_a_refused_run_changes_nothing(tmp_path):
    path, options = tmp_path / "run.ckpt", dict(algo="sgd", epochs=1)
    theanets.Regressor([4, (5, "tanh"), 2]).train(DATA, checkpoint=path, **options)
    net = theanets.Regressor([4, (6, "tanh"), 2])
    twin, history = theanets.Regressor([4, (6, "tanh"), 2], rng=net.seed), net.history
    before = outcome(net)
    with pytest.raises(FileError, match="another run"):
        # A limit of norms changes the parameters even before the first update.
        net.train(DATA, checkpoint=path, max_norm=1e-3, **options)
    assert net.seed == net.graph.seed == twin.seed
    assert net.history is history
    assert outcome(net) == before
    net.train(DATA, **options)
    twin.train(DATA, **options)
    assert outcome(net) == outcome(twin)


def test_a_run_that_continues_has_the_seed_of_its_checkpoint(tmp_path):
    path, nets = tmp_path / "run.ckpt", [theanets.Regressor([4, (5, "tanh"), 2]) for _ in "ab"]
    assert nets[0].seed != nets[1].seed
    for i, net in enumerate(nets):
        net.train(DATA, algo="sgd", epochs=1 + i, hidden_dropout=0.5, checkpoint=path)
    assert nets[0].seed == nets[1].seed == nets[1].graph.seed


@pytest.mark.parametrize("nested", [False, True])
def test_the_length_of_a_schedule_is_part_of_the_run(nested, tmp_path):
    def train(schedule, epochs):
        if nested:
            schedule = {"form": "warmup", "updates": 3, "after": schedule}
        net = theanets.Regressor([4, 2], rng=1)
        keywords = dict(learning_rate_schedule=schedule, checkpoint=tmp_path / "run.ckpt")
        net.train(DATA, algo="sgd", epochs=epochs, **keywords)
        return len(net.history)

    train("cosine", 2)
    with pytest.raises(FileError, match=r"total was 2, now is 4, as .* with total=<number> in"):
        train("cosine", 4)
    # What the error says to do.
    assert train({"form": "cosine", "total": 2}, 4) == 4
