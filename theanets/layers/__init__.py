"""Layers: what a network is made of.

===============  ================================================================================
form             what it does
===============  ================================================================================
`input`          data enters here
`feedforward`    ``g(x @ w + b)``, alias ``ff``
`classifier`     ``softmax(x @ w + b)``, alias ``softmax``
`tied`           ``g(x @ w.T + b)`` with another layer's ``w``
`crf`            a linear chain of labels, for each step of a series
`concatenate`    inputs side by side on the last axis, alias ``concat``
`product`        elementwise product of inputs, alias ``prod``
`add`            elementwise sum of inputs, alias ``sum``
`sequential`     layers under one name, which may be repeated
`residual`       the same, added to what goes in
`flatten`        all axes but that of the batch as one, alias ``flat``
`reshape`        the same entries in another shape
`lambda`         any function of the inputs
`conv1`          convolution of series, `conv1_transposed` its transpose
`conv2`          convolution of images, `conv2_transposed` its transpose;
                 `conv1_separable`, `conv2_separable` channel by channel first
`pool1`          pooling of series, `upsample1` makes them longer
`pool2`          pooling of images, `upsample2` makes them larger
`pool_time`      what a whole series comes to: its mean, its last step, ...
`pad1`, `pad2`   padding of series and of images
`embedding`      a vector for each symbol of an input of the form `symbols`
`batch_norm`     mean 0 and variance 1 of each unit over a batch
`layer_norm`     mean 0 and variance 1 of each example over its units
`rms_norm`       mean square 1 of each example over its units
`group_norm`     mean 0 and variance 1 of each group of channels of an example
`instance_norm`  the same of each channel
`dropout`        sets entries to 0 at random, in training
`noise`          adds normal noise, in training
`attention`      each step of a series gets a weighted sum of what all its steps offer
`transformer`    attention and a feedforward network, each added to what goes in
`position`       adds what tells where a step is in its series
`rnn`            ``h_t = g(x_t @ xh + h_(t-1) @ hh + b)``, and its relatives
                 `lstm`, `gru`, `mut1`, `clockwork`, `bcrnn`, `rrnn`, `mrnn`,
                 `scrn`, `cell` and `bidirectional`
`lengths`        an input with the number of steps of each series
===============  ================================================================================
"""

from __future__ import annotations

from .attention import Attention, Position, Transformer
from .base import Layer, is_form
from .blocks import Residual, Sequential
from .convolution import Conv1, Conv1Transposed, Conv2, Conv2Transposed
from .crf import CRF
from .embedding import Embedding, Symbols
from .feedforward import Classifier, Feedforward, Input, Tied
from .lengths import Lengths
from .merge import Add, Concatenate, Product
from .normalization import (
    BatchNorm,
    Dropout,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Noise,
    RMSNorm,
)
from .padding import Pad1, Pad2
from .pooling import Pool1, Pool2, PoolTime
from .recurrent import (
    BCRNN,
    GRU,
    LSTM,
    MRNN,
    MUT1,
    RNN,
    RRNN,
    SCRN,
    Bidirectional,
    CellLayer,
    Clockwork,
    Recurrent,
)
from .separable import Conv1Separable, Conv2Separable
from .shape import Flatten, Lambda, Reshape
from .signals import Inputs
from .upsampling import Upsample1, Upsample2

__all__ = [
    "BCRNN",
    "CRF",
    "GRU",
    "LSTM",
    "MRNN",
    "MUT1",
    "RNN",
    "RRNN",
    "SCRN",
    "Add",
    "Attention",
    "BatchNorm",
    "Bidirectional",
    "CellLayer",
    "Classifier",
    "Clockwork",
    "Concatenate",
    "Conv1",
    "Conv1Separable",
    "Conv1Transposed",
    "Conv2",
    "Conv2Separable",
    "Conv2Transposed",
    "Dropout",
    "Embedding",
    "Feedforward",
    "Flatten",
    "GroupNorm",
    "Input",
    "Inputs",
    "InstanceNorm",
    "Lambda",
    "Layer",
    "LayerNorm",
    "Lengths",
    "Noise",
    "Pad1",
    "Pad2",
    "Pool1",
    "Pool2",
    "PoolTime",
    "Position",
    "Product",
    "RMSNorm",
    "Recurrent",
    "Reshape",
    "Residual",
    "Sequential",
    "Symbols",
    "Tied",
    "Transformer",
    "Upsample1",
    "Upsample2",
    "is_form",
]
