"""Networks that `gpu.py` times: ours, PyTorch's, and those of plain JAX, on the same data."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from peers import torch_mlp

import theanets


@dataclass
class Work:
    """What is trained, and on what.

    Attributes
    ----------
    name : str
    model : type
        Ours.
    layers : list
        Of ours.
    torch : callable
        Maps the module ``torch`` to a network.
    plain : callable
        Maps a generator to parameters of plain JAX, and to the function that computes with them.
    batch, batches : int
        Examples in a batch, and batches in an epoch.
    shape : tuple of int
        Of an input.
    out : int or tuple of int
        How many classes there are, or the shape of a target.
    """

    name: str
    model: type
    layers: list
    torch: object
    plain: object
    batch: int
    batches: int
    shape: tuple
    out: object

    def data(self):
        """Make inputs and targets."""
        rng = np.random.default_rng(0)
        rows = self.batch * self.batches
        x = rng.normal(size=(rows, *self.shape)).astype("float32")
        if isinstance(self.out, int):
            return [x, rng.integers(self.out, size=rows).astype("int32")]
        return [x, rng.normal(size=(rows, *self.out)).astype("float32")]


# ---- plain JAX -----------------------------------------------------------------------


def uniform(rng, *shape):
    bound = 1 / math.sqrt(np.prod(shape[:-1]))
    return rng.uniform(-bound, bound, size=shape).astype("float32")


def linear(rng, nin, nout):
    return {"w": uniform(rng, nin, nout), "b": np.zeros(nout, "float32")}


def plain_mlp(sizes):
    import jax

    def apply(params, x):
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    return lambda rng: ([linear(rng, *pair) for pair in pairwise(sizes)], apply)


def plain_lstm(size, hidden):
    import jax
    import jax.numpy as jnp

    def apply(params, x):
        inputs, recurrent, out = params
        start = jnp.zeros((x.shape[0], hidden), x.dtype)

        def step(state, gates):
            h, c = state
            i, f, g, o = jnp.split(gates + h @ recurrent, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        ahead = jnp.swapaxes(x @ inputs["w"] + inputs["b"], 0, 1)
        _, found = jax.lax.scan(step, (start, start), ahead)
        return jnp.swapaxes(found, 0, 1) @ out["w"] + out["b"]

    def start(rng):
        inputs = linear(rng, size, 4 * hidden)
        return [inputs, uniform(rng, hidden, 4 * hidden), linear(rng, hidden, size)], apply

    return start


def plain_conv(filters, flat, hidden, classes):
    import jax

    def pooled(x):
        window = (1, 2, 2, 1)
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")

    def apply(params, x):
        for layer in params[:-2]:
            kinds = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, layer["w"], (1, 1), "VALID", dimension_numbers=kinds
            )
            x = pooled(jax.nn.relu(x + layer["b"]))
        x = x.reshape(len(x), -1)
        x = jax.nn.relu(x @ params[-2]["w"] + params[-2]["b"])
        return x @ params[-1]["w"] + params[-1]["b"]

    def start(rng):
        layers = [
            {"w": uniform(rng, 3, 3, nin, nout), "b": np.zeros(nout, "float32")}
            for nin, nout in pairwise((3, *filters))
        ]
        return [*layers, linear(rng, flat, hidden), linear(rng, hidden, classes)], apply

    return start


def plain_attention(size, heads, blocks):
    import jax
    import jax.numpy as jnp

    def normal(layer, x):
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(var + 1e-5) * layer["w"] + layer["b"]

    def block(params, x):
        n1, qkv, out, n2, up, down = params
        z = normal(n1, x) @ qkv["w"] + qkv["b"]
        q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in jnp.split(z, 3, axis=-1))
        z = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
        x = x + z @ out["w"] + out["b"]
        z = jax.nn.relu(normal(n2, x) @ up["w"] + up["b"])
        return x + z @ down["w"] + down["b"]

    def apply(params, x):
        for one in params[:-1]:
            x = block(one, x)
        return x @ params[-1]["w"] + params[-1]["b"]

    def norm():
        return {"w": np.ones(size, "float32"), "b": np.zeros(size, "float32")}

    def one(rng):
        wide = 4 * size
        attend = [norm(), linear(rng, size, 3 * size), linear(rng, size, size)]
        return [*attend, norm(), linear(rng, size, wide), linear(rng, wide, size)]

    return lambda rng: ([*(one(rng) for _ in range(blocks)), linear(rng, size, size)], apply)


# ---- PyTorch -------------------------------------------------------------------------


def torch_lstm(size, hidden):
    def make(torch):
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm = torch.nn.LSTM(size, hidden, batch_first=True)
                self.out = torch.nn.Linear(hidden, size)

            def forward(self, x):
                return self.out(self.lstm(x)[0])

        return Net()

    return make


def torch_conv(filters, flat, hidden, classes):
    def make(torch):
        nn, parts = torch.nn, []
        for nin, nout in pairwise((3, *filters)):
            parts += [nn.Conv2d(nin, nout, 3), nn.ReLU(), nn.MaxPool2d(2)]
        parts += [nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes)]
        return nn.Sequential(*parts)

    return make


def torch_attention(size, heads, blocks):
    def make(torch):
        layer = torch.nn.TransformerEncoderLayer(
            size, heads, 4 * size, dropout=0, batch_first=True, norm_first=True
        )
        encoder = torch.nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        return torch.nn.Sequential(encoder, torch.nn.Linear(size, size))

    return make


# ---- what is timed -------------------------------------------------------------------


def dense(sizes, batch, batches):
    name = f"{'-'.join(map(str, sizes))}, batch {batch}"
    layers = [sizes[0], *((size, "relu") for size in sizes[1:-1]), sizes[-1]]
    torch, plain = (lambda torch: torch_mlp(torch, sizes)), plain_mlp(sizes)
    shape, classes = (sizes[0],), sizes[-1]
    return Work(name, theanets.Classifier, layers, torch, plain, batch, batches, shape, classes)


def lstm(size, hidden, steps, batch, batches):
    name = f"lstm {size}-{hidden}-{size}, {steps} steps, batch {batch}"
    layers, shape = [size, dict(form="lstm", size=hidden, peepholes=False), size], (steps, size)
    torch, plain = torch_lstm(size, hidden), plain_lstm(size, hidden)
    kind = theanets.recurrent.Regressor
    return Work(name, kind, layers, torch, plain, batch, batches, shape, shape)


def conv(width, filters, hidden, batch, batches):
    name = f"convolutions on {width}x{width}x3, batch {batch}"
    layers, left = [(width, width, 3)], width
    for size in filters:
        layers += [dict(form="conv2", size=size, filter_size=(3, 3), activation="relu"), "pool2"]
        left = (left - 2) // 2
    layers += ["flat", (hidden, "relu"), 10]
    sizes = (filters, left * left * filters[-1], hidden, 10)
    torch, plain, shape = torch_conv(*sizes), plain_conv(*sizes), (width, width, 3)
    return Work(name, theanets.Classifier, layers, torch, plain, batch, batches, shape, 10)


def attention(size, heads, blocks, steps, batch, batches):
    name = f"{blocks} blocks of attention of size {size}, {steps} steps, batch {batch}"
    block = dict(form="transformer", heads=heads, activation="relu", repeat=blocks)
    sizes, shape = (size, heads, blocks), (steps, size)
    torch, plain = torch_attention(*sizes), plain_attention(*sizes)
    kind, layers = theanets.recurrent.Regressor, [size, block, size]
    return Work(name, kind, layers, torch, plain, batch, batches, shape, shape)


def works(small):
    """Get what is timed, by the name of the job."""
    if small:
        return {
            "dense": [dense([10, 20, 3], 32, 64), dense([64, 100, 10], 32, 64)],
            "lstm": [lstm(4, 8, 5, 8, 4)],
            "conv": [conv(8, (4,), 8, 8, 2)],
            "attention": [attention(8, 2, 1, 4, 4, 2)],
        }
    wide = [784, 1000, 1000, 10]
    return {
        "dense": [dense(wide, batch, 60000 // batch) for batch in (128, 1024, 8192)],
        "lstm": [lstm(128, 256, 100, 64, 40)],
        "conv": [conv(32, (32, 64), 128, 256, 20)],
        "attention": [attention(256, 8, 2, 128, 32, 40)],
    }
