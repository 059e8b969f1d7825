"""The same work in other libraries: functions to be timed beside ours.

Each function returns None if the library is not installed.
"""

import importlib
import itertools

import numpy as np


def have(name):
    """Import a library, or get None."""
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    if name == "torch":
        module.set_num_threads(1)
    return module


def torch_mlp(torch, sizes):
    parts = []
    for nin, nout in itertools.pairwise(sizes):
        parts += [torch.nn.Linear(nin, nout), torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def torch_epoch(loss, params, tensors, batch):
    """Make a plain loop over shuffled batches, with adam."""
    import torch

    optimizer = torch.optim.Adam(params)
    rows = len(tensors[0])

    def epoch():
        order = torch.randperm(rows)
        for first in range(0, rows, batch):
            some = order[first : first + batch]
            optimizer.zero_grad()
            loss(*(tensor[some] for tensor in tensors)).backward()
            optimizer.step()

    return epoch


def torch_classifier(sizes, x, y, batch, compiled=False):
    """Make an epoch of PyTorch's, eager or by torch.compile."""
    torch = have("torch")
    if torch is None:
        return None
    net, cross_entropy = torch_mlp(torch, sizes), torch.nn.CrossEntropyLoss()

    def loss(inputs, labels):
        return cross_entropy(net(inputs), labels)

    found = torch.compile(loss) if compiled else loss
    return torch_epoch(found, net.parameters(), [torch.tensor(x), torch.tensor(y).long()], batch)


def torch_autoencoder(sizes, x, batch, noise, dropout, compiled=False):
    """Make an epoch of an autoencoder whose decoder has the encoder's weights."""
    torch = have("torch")
    if torch is None:
        return None
    nn, linear = torch.nn, torch.nn.functional.linear
    encoder = [nn.Linear(nin, nout) for nin, nout in itertools.pairwise(sizes)]
    biases = [nn.Parameter(torch.zeros(size)) for size in sizes[-2::-1]]
    params = [param for layer in encoder for param in layer.parameters()] + biases
    drop = nn.Dropout(dropout)

    def loss(clean):
        z = clean + noise * torch.randn_like(clean)
        for layer in encoder:
            z = drop(torch.relu(layer(z)))
        for layer, bias in zip(encoder[:0:-1], biases):
            z = drop(torch.relu(linear(z, layer.weight.T, bias)))
        return nn.functional.mse_loss(linear(z, encoder[0].weight.T, biases[-1]), clean)

    return torch_epoch(torch.compile(loss) if compiled else loss, params, [torch.tensor(x)], batch)


def torch_predict(sizes, x, batch):
    """Make what finds the classes of all rows, batch by batch."""
    torch = have("torch")
    if torch is None:
        return None
    net, inputs = torch_mlp(torch, sizes).eval(), torch.tensor(x)

    def predict():
        with torch.no_grad():
            return torch.cat([net(part).argmax(1) for part in inputs.split(batch)]).numpy()

    return predict


def keras_model(sizes):
    import os

    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = have("keras") if have("jax") else None
    if keras is None:
        return None
    layers = [keras.layers.Dense(size, activation="relu") for size in sizes[1:-1]]
    net = keras.Sequential([keras.Input((sizes[0],)), *layers, keras.layers.Dense(sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(optimizer="adam", loss=loss)
    return net


def keras_classifier(sizes, x, y, batch):
    """Make an epoch of Keras's ``fit``, with JAX."""
    net = keras_model(sizes)
    return net and (lambda: net.fit(x, y, batch_size=batch, verbose=0))


def keras_predict(sizes, x, batch):
    """Make Keras's ``predict``, with JAX."""
    net = keras_model(sizes)
    return net and (lambda: net.predict(x, batch_size=batch, verbose=0).argmax(1))


def sklearn_model(sizes, batch):
    if have("sklearn") is None:
        return None
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(sizes[1:-1], batch_size=batch, alpha=0)


def sklearn_classifier(sizes, x, y, batch):
    """Make an epoch of scikit-learn's ``partial_fit``."""
    net = sklearn_model(sizes, batch)
    classes = np.arange(sizes[-1])
    return net and (lambda: net.partial_fit(x, y, classes=classes))


def sklearn_predict(sizes, x, rows=None):
    """Make scikit-learn's ``predict`` of some rows, or of all, which it computes at once."""
    classes = np.arange(sizes[-1])
    net = sklearn_model(sizes, len(classes))
    if net is None:
        return None
    net.partial_fit(x[: len(classes)], classes, classes=classes)
    return lambda: net.predict(x if rows is None else x[:rows])


def our_estimator(sizes, x):
    """Make our own estimator's ``predict`` of one row, which has scikit-learn's checks."""
    if have("sklearn") is None:
        return None
    from theanets.sklearn import NetClassifier

    classes = np.arange(sizes[-1])
    net = NetClassifier(sizes[1:-1], random_state=0)
    net.partial_fit(x[: len(classes)], classes, classes=classes)
    return lambda: net.predict(x[:1])
