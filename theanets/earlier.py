"""What earlier versions or other libraries have and this one has not, with what to write instead.

Errors about unknown names and keywords look here, see `theanets.errors.hint`.
How a name is spelled does not matter: as words, in lower or upper case.
"""

from __future__ import annotations

_OF_TRAIN = "{}= of train(), itertrain(), predict() and the like"
_SCIPY = "algo='l-bfgs'"

#: What others call it, by the name here.
NAMES: dict[str, tuple[str, ...]] = {
    # Keywords.
    "learning_rate": ("lr", "learning_rate_init", "eta"),
    "learning_rate_schedule": ("lr_scheduler", "scheduler", "lr_schedule"),
    "beta1": ("betas", "beta_1"),
    "beta2": ("beta_2",),
    "rms_regularizer": ("eps", "epsilon"),
    "decay": ("rho",),
    "max_gradient_norm": ("clipnorm",),
    "max_gradient_elem": ("clipvalue",),
    "max_global_norm": ("global_clipnorm",),
    "epochs": ("n_epochs", "num_epochs", "nb_epoch", "max_epochs", "max_iter"),
    "algo": ("optimizer", "solver"),
    "valid": ("validation_data", "valid_data", "eval_set"),
    "validation_split": ("validation_fraction", "val_split"),
    "train_batches": ("steps_per_epoch", "steps"),
    "valid_batches": ("validation_steps",),
    "validate_every": ("validation_freq", "eval_every"),
    "patience": ("n_iter_no_change", "early_stopping"),
    "min_improvement": ("tol", "min_delta"),
    "progress": ("verbose",),
    "weight_l2": ("alpha", "l2", "kernel_regularizer"),
    "weight_l1": ("l1",),
    "dropout": ("dropout_rate", "drop"),
    "average": ("use_ema", "swa", "averagedmodel"),
    "rng": ("random_state", "seed"),
    "size": (
        "units",
        "n_units",
        "num_units",
        "hidden_size",
        "out_features",
        "embed_dim",
        "d_model",
        "n_embd",
    ),
    "heads": ("num_heads", "n_heads", "n_head", "nhead", "num_attention_heads"),
    "kv_heads": ("num_kv_heads", "n_kv_heads", "num_key_value_heads"),
    "hidden": ("dim_feedforward", "intermediate_size", "d_ff", "ff_dim", "mlp_dim", "n_inner"),
    "repeat": ("num_layers", "n_layers", "n_layer", "num_hidden_layers"),
    "causal": ("is_causal", "use_causal_mask"),
    "epsilon": ("eps", "layer_norm_eps", "rms_norm_eps"),
    "groups": ("num_groups",),
    # Methods and attributes.
    "train": ("fit", "fit_generator", "partial_fit", "learn"),
    "feed_forward": ("forward", "call"),
    "params": ("parameters", "named_parameters", "trainable_weights"),
    "save": ("state_dict", "save_weights", "dump"),
    "load_params": ("load_state_dict", "load_weights"),
    "set_loss": ("compile", "compile_loss"),
    "add_layer": ("add",),
    "evaluate": ("eval",),
    "encode": ("transform",),
    # Losses.
    "mse": ("meansquarederror", "squarederror", "mseloss", "l2", "l2loss"),
    "mae": ("meanabsoluteerror", "absoluteerror", "maeloss", "l1", "l1loss"),
    "mape": ("meanabsolutepercentageerror",),
    "msle": ("meansquaredlogarithmicerror", "meansquaredlogerror"),
    "xe": (
        "sparsecategoricalcrossentropy",
        "categoricalcrossentropy",
        "crossentropyloss",
        "softmaxcrossentropy",
        "nll",
        "nllloss",
        "logloss",
        "negativeloglikelihood",
    ),
    "bce": ("binarycrossentropy", "bceloss"),
    "bce_logits": ("bcewithlogits", "bcewithlogitsloss", "sigmoidcrossentropy"),
    "focal": ("categoricalfocalcrossentropy", "focalloss"),
    "binary_focal": ("binaryfocalcrossentropy",),
    "huber": ("huberloss",),
    "smooth_l1": ("smoothl1loss",),
    "kl": ("kldivergence", "kldiv", "kldivloss"),
    "gll": ("gaussiannll", "gaussiannllloss"),
    "poisson": ("poissonnll", "poissonnllloss"),
    "cosine": ("cosinesimilarity", "cosinedistance"),
    "quantile": ("quantileloss", "pinballloss"),
    "pinball": ("meanpinballloss",),
    "ctc": ("ctcloss",),
    # Layers.
    "feedforward": ("dense",),
    "rnn": ("simplernn",),
    "conv1": ("conv1d", "convolution1d"),
    "conv2": ("conv2d", "convolution2d"),
    "conv1_separable": ("separableconv1d",),
    "conv2_separable": ("separableconv2d",),
    "pad1": ("zeropadding1d", "reflectionpad1d", "replicationpad1d"),
    "pad2": ("zeropadding2d", "reflectionpad2d", "replicationpad2d"),
    "attention": ("multiheadattention", "selfattention", "mha"),
    "transformer": ("transformerencoderlayer", "transformerblock", "transformerencoder"),
    "position": ("positionalencoding", "positionalembedding", "positionembedding"),
    "pool_time": ("globalaveragepooling1d", "globalmaxpooling1d"),
    "conv1_transposed": ("conv1dtranspose", "convtranspose1d"),
    "conv2_transposed": ("conv2dtranspose", "convtranspose2d"),
    "pool1": ("maxpooling1d", "maxpool1d", "averagepooling1d", "avgpool1d", "pooling1d"),
    "pool2": ("maxpooling2d", "maxpool2d", "averagepooling2d", "avgpool2d", "pooling2d"),
    "upsample1": ("upsampling1d",),
    "upsample2": ("upsampling2d",),
    "batch_norm": ("batchnormalization", "batchnorm1d", "batchnorm2d"),
    "layer_norm": ("layernormalization",),
    "rms_norm": ("rmsnormalization",),
    "group_norm": ("groupnormalization",),
    "instance_norm": ("instancenorm1d", "instancenorm2d", "instancenormalization"),
    "product": ("multiply", "mul"),
    "bidirectional": ("bilstm", "bigru"),
    # Activations.
    "linear": ("identity",),
    "leaky-relu": ("leakyrelu",),
    # Metrics.
    "accuracy": (
        "categoricalaccuracy",
        "sparsecategoricalaccuracy",
        "binaryaccuracy",
        "accuracyscore",
    ),
    "balanced_accuracy": ("balancedaccuracyscore",),
    "top_k": ("topkcategoricalaccuracy", "sparsetopkcategoricalaccuracy", "topkaccuracyscore"),
    "auc": ("rocauc", "rocaucscore", "auroc"),
    "f1": ("f1score",),
    "precision": ("precisionscore",),
    "recall": ("recallscore",),
    "r2": ("r2score", "rsquared"),
    "rmse": ("rootmeansquarederror",),
}

#: What is written in another way, by the name that is unknown, wherever that is.
PHRASES: dict[str, str] = {
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
    **{key: f"{key}= of train()" for key in ("epochs", "callbacks", "validation_split")},
    "shuffle": "nothing: arrays are shuffled in each epoch, and batches come in their own order",
    "pieces": "the activation 'maxout:3'",
    "batch_size": "batch_size= of train()",
    "learning_rate": "learning_rate= of train()",
    "momentum": "momentum= of train()",
    "beta1_decay": "beta1_halflife=",
    "beta2_decay": "beta2_halflife=",
    "hv_method": "nothing: esgd always uses the R operator",
    "output_ndim": "nothing: targets have the shape of the output",
    # Keywords of other libraries.
    "norm_first": "norm='pre', which is the default, or norm='post'",
    "batch_first": "nothing: examples are the first axis",
    "ema_momentum": "average={'form': 'ema', 'momentum': 0.99} of train()",
    "swa_start": "average={'form': 'swa', 'start': 10} of train()",
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


def _plain(name: str) -> str:
    """Get a name in lower case, without anything between its words."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


_NAMES: dict[str, list[str]] = {}
for _here, _elsewhere in NAMES.items():
    for _name in _elsewhere:
        _NAMES.setdefault(_plain(_name), []).append(_here)
_PHRASES = {_plain(name): phrase for name, phrase in PHRASES.items()}


def namesakes(name: object) -> list[str]:
    """Get what an unknown name is called here: more than one where that depends on its kind."""
    return _NAMES.get(_plain(str(name)), [])


def same_spelling(one: str, other: str) -> bool:
    """Tell whether two names differ in case, underscores and hyphens only."""
    return _plain(one) == _plain(other)


def phrase(name: object) -> str | None:
    """Get what is written in the place of an unknown name, if that is not another name."""
    return _PHRASES.get(_plain(name)) if isinstance(name, str) else None
