"""What earlier versions or other libraries have and this one has not, with what to write instead.

Errors about unknown names and keywords look here; see `theanets.errors`.
"""

from __future__ import annotations

_OF_TRAIN = "{}= of train(), itertrain(), predict() and the like"
_SCIPY = "algo='l-bfgs'"

#: By the name that is unknown, wherever that is.
SUCCESSORS: dict[str, str] = {
    # Keywords of networks.
    "tied_weights": "a layer 'tied' for each layer whose weights it shares: [784, 100, 'tied']",
    "hidden_activation": "(100, 'tanh') for each hidden layer",
    "output_activation": "(10, 'tanh') for the last layer",
    "activation": "(100, 'tanh') for each layer",
    "decode_from": "dict(size=10, inputs=['hid1', 'hid2']) for the last layer",
    "sparse_input": "dict(form='input', size=100, sparse=True) for the first layer",
    "recurrent_layers": "(100, 'rnn') for each layer that is recurrent",
    "recurrent_sparsity": "dict(form='rnn', size=100, sparsity_hh=0.9)",
    "recurrent_error_start": "weighted=True, with weights of 0 for the first steps",
    **{
        key: _OF_TRAIN.format(key.removesuffix("s"))
        for key in (
            "input_noise",
            "hidden_noise",
            "output_noise",
            "input_dropout",
            "input_dropouts",
            "hidden_dropout",
            "hidden_dropouts",
            "output_dropout",
            "hidden_l1",
            "hidden_l2",
            "weight_l1",
            "weight_l2",
            "contractive",
        )
    },
    "noise": _OF_TRAIN.format("noise") + ", or a layer 'noise'",
    "dropout": _OF_TRAIN.format("dropout") + ", or a layer 'dropout'",
    "optimize": "algo= of train()",
    **{
        key: f"{key}= of train()"
        for key in ("train_batches", "valid_batches", "patience", "validate_every")
    },
    **{key: f"{key}= of train()" for key in ("min_improvement", "max_updates", "algo")},
    "pieces": "the activation 'maxout:3'",
    "batch_size": "batch_size= of train()",
    "learning_rate": "learning_rate= of train()",
    "momentum": "momentum= of train()",
    "beta1_decay": "beta1_halflife=",
    "hv_method": "nothing: esgd always uses the R operator",
    "output_ndim": "nothing: targets have the shape of the output",
    # Keywords of other libraries.
    "class_weight": "loss={'form': 'xe', 'class_weight': ...} for the network",
    "sample_weight": "weighted=True for the network, with the weights after the targets",
    # Layers.
    "arrnn": "dict(form='rrnn', size=100, rate='matrix')",
    "lrrnn": "dict(form='rrnn', size=100, rate='vector')",
    "maxout": "(100, 'maxout:3')",
    "convolution": "'conv1' or 'conv2'",
    "pooling": "'pool1' or 'pool2'",
    # Activations.
    "trel": "'rect:minmax'",
    "trec": "a function: lambda z: z * (z > 1)",
    "tlin": "a function: lambda z: z * (abs(z) > 1)",
    # Algorithms.
    "cg": _SCIPY,
    "newton-cg": _SCIPY,
    "dogleg": _SCIPY,
    "trust-ncg": _SCIPY,
    "hf": _SCIPY + " for small data, else algo='esgd'",
    "lm": _SCIPY,
    "force": "algo='adam'",
}


def successor(name: object) -> str:
    """Get a hint at what is written in the place of an unknown name, or an empty string."""
    found = SUCCESSORS.get(name.lower()) if isinstance(name, str) else None
    return f" (write {found})" if found else ""
