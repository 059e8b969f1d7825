"""Files as theanets 0.6 to 0.8 wrote them, with classes of the names that it and Theano had."""

import io
import pickle

import numpy as np


class Record:
    """An object of a class that is not there; ``path`` is the name that the pickle has for it."""

    path = ""


def record(path, state):
    """Make an object of a class of a name, with attributes (or with any state)."""
    kind = type(path.rpartition(".")[2], (Record,), {"path": path})
    made = kind()
    if isinstance(state, dict):
        made.__dict__.update(state)
    else:
        kind.__getstate__ = lambda self: state
    return made


class Named:
    """A function of a name."""

    def __init__(self, path):
        self.path = path


class Called:
    """What a function of a name gave for arguments."""

    def __init__(self, path, *args):
        self.path, self.args = path, args

    def __reduce__(self):
        return _called, (self.path, *self.args)


def _called(*args):
    raise AssertionError("only its name is written")


class Pickler(pickle._Pickler):
    """Writes records under the names of their classes, whether these exist or not."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def _global(self, path):
        module, _, name = path.rpartition(".")
        self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())

    def save_global(self, obj, name=None):
        if isinstance(obj, type) and issubclass(obj, Record):
            self._global(obj.path)
        else:
            super().save_global(obj, name)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Named):
            self._global(obj.path)
        elif isinstance(obj, Called):
            self._global(obj.path)
            self.save(obj.args)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def save_type(self, obj):
        self.save_global(obj)

    dispatch[type] = save_type


class Pickler2(Pickler):
    """Writes as Python 2 did: text and bytes are the same, one byte for each character."""

    dispatch = dict(Pickler.dispatch)  # noqa: RUF012

    def save_text(self, obj):
        data = obj.encode("latin1") if isinstance(obj, str) else bytes(obj)
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(obj)

    dispatch[str] = dispatch[bytes] = save_text


def dump(obj, python=3):
    """Get the pickle of an object."""
    file = io.BytesIO()
    (Pickler if python == 3 else Pickler2)(file, protocol=2).dump(obj)
    return file.getvalue()


def shared(name, value, gpu=None):
    """Make a shared variable of Theano; ``gpu`` is the path of what restores one of a GPU."""
    value = np.asarray(value)
    kind = record("theano.tensor.type.TensorType", {"dtype": str(value.dtype)})
    stored = value if gpu is None else Called(gpu, value, None)
    container = record("theano.gof.link.Container", {"storage": [stored], "type": kind})
    path = "theano.tensor.sharedvar.TensorSharedVariable"
    return record(path, {"container": container, "name": name, "type": kind, "owner": None})


ROOMS = {
    "feedforward": ("feedforward", "classifier", "tied"),
    "base": ("input", "concatenate", "flatten", "product", "reshape"),
    "convolution": ("conv1", "conv2", "pool1", "pool2"),
}
LETTERS = {"rnn", "rrnn", "mrnn", "lstm", "gru", "mut1", "scrn", "bcrnn", "lrrnn", "arrnn"}


def layer(form, name, version, params=(), activation="relu", inputs=(), size=None, **attributes):
    """Make a layer as a version kept it.

    ``inputs`` are names of outputs; ``params`` maps short names to arrays,
    those of a parametric activation (leak, ...) among them.
    """
    room = next((r for r, forms in ROOMS.items() if form in forms), "recurrent")
    kind = form.upper() if form in LETTERS else form.capitalize()
    slopes = ("leak", "gain", "slope", "intercept")
    made = {n: shared(f"{name}.{n}", v) for n, v in dict(params).items()}
    mine = [v for n, v in made.items() if n not in slopes]
    theirs = [v for n, v in made.items() if n in slopes]
    activate = Named("theanets.activations._relu")
    if theirs:
        state = {"name": activation.partition(":")[0], "params": theirs}
        if ":" in activation:
            state["pieces"] = int(activation.partition(":")[2])
        activate = record(f"theanets.activations.{state['name'].capitalize()}", state)
    rng = Called("numpy.random.__RandomState_ctor")
    keywords = {"rng": rng, **attributes.pop("kwargs", {})}
    state = {"name": name, "_params": mine, "activate": activate, "kwargs": keywords, "rng": rng}
    state.update(attributes)
    if version == "0.8":
        keywords.update(activation=activation, inputs=tuple(inputs), name=name)
        state["_input_shapes"] = dict.fromkeys(inputs, (None, 1))
        state["_output_shapes"] = {"out": (None, size)}
        if size is not None:
            keywords["size"] = size
        if "shape" in keywords:
            state["_output_shapes"] = {"out": keywords["shape"]}
    else:
        state.update(activation=activation, size=size, inputs=dict.fromkeys(inputs, 1))
    return record(f"theanets.layers.{room}.{kind}", state)


def loss(form, weight=1.0, weighted=False, **attributes):
    """Make a loss of versions 0.7 and 0.8."""
    weights = record("theano.tensor.var.TensorVariable", {"name": "weights"}) if weighted else None
    state = {"weight": weight, "_weights": weights, "output_name": "out:out", **attributes}
    return record(f"theanets.losses.{form}", state)


def network(model, layers, version, losses=None):
    """Make a network; ``model`` is ``'recurrent.Regressor'`` for instance."""
    path = f"theanets.{model}"
    if version == "0.6":
        # Compiled functions and graphs were in it too.
        functions = {"key": Called("theano.compile.function_module._constructor_Function", [1])}
        state = {"layers": layers, "weighted": False, "_graphs": {}, "_functions": functions}
        return record(path, state)
    return record(path, (layers, [loss("MeanSquaredError")] if losses is None else losses))
