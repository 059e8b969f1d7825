"""The keywords of ``train``, for editors and type checkers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from ..callbacks import Callback
from .averaging import Average

Path = str | os.PathLike[str]
#: A penalty: its strength, options with ``weight``, or strengths by pattern.
Penalty = float | Mapping[str, Any]
#: Noise: a standard deviation or probability, or these by pattern.
Noise = float | Mapping[str, Any]


class TrainKeywords(TypedDict, total=False):
    """What `theanets.Network.train` takes by keyword; its docstring says what they mean.

    The hyper-parameters of an optimizer of one's own are not in it: build it
    first, ``algo=Signum(mix=0.95)``. Neither are other names of a keyword that
    ``train`` takes too, which are deprecated (``input_dropouts``,
    ``hidden_dropouts``, ``gradient_clip``) or are those of a class
    (``weightl1``).
    """

    # Limits.
    epochs: float | None
    max_updates: float | None
    max_seconds: float | None
    patience: float | None
    min_improvement: float | None
    validate_every: int | None
    # Data.
    batch_size: int | None
    train_batches: int | None
    valid_batches: int | None
    iteration_size: int | None
    validation_split: float | None
    axis: int | None
    buckets: bool | None
    prefetch: int | None
    # The loop.
    callbacks: Callback | Callable[[Any], Any] | Sequence[Any] | None
    criterion: str | tuple[str, str] | None
    progress: bool | Literal["auto"] | None
    checkpoint: Path | None
    checkpoint_every: int | None
    save_progress: Any
    save_every: float | None
    metrics: Any
    monitors: Mapping[str, Any] | Sequence[Any] | None
    monitor_gradients: bool | None
    freeze: str | Sequence[str] | None
    average: str | Mapping[str, Any] | Average | None
    mode: Any
    device: str | Sequence[str] | None
    rng: Any
    subalgo: Any
    # Of algorithms.
    learning_rate: float | None
    learning_rate_schedule: Any
    momentum: float | None
    nesterov: bool | None
    max_gradient_elem: float | None
    max_gradient_norm: float | None
    max_global_norm: float | None
    decoupled_weight_decay: float | None
    beta1: float | None
    beta2: float | None
    beta1_halflife: float | None
    beta2_halflife: float | None
    decay: float | None
    rms_halflife: float | None
    rms_regularizer: float | None
    centered: bool | None
    rprop_increase: float | None
    rprop_decrease: float | None
    rprop_min_step: float | None
    rprop_max_step: float | None
    tolerance: float | None
    gradient_tolerance: float | None
    history: int | None
    # Penalties, limits of norms, and noise.
    weight_l1: Penalty | None
    weight_l2: Penalty | None
    weight_decay: Penalty | None
    weight_sparsity: Penalty | None
    weight_inverse: Penalty | None
    hidden_l1: Penalty | None
    hidden_l2: Penalty | None
    hidden_sparsity: Penalty | None
    orthogonal: Penalty | None
    group_lasso: Penalty | None
    contractive: Penalty | None
    recurrent_state: Penalty | None
    recurrent_norm: Penalty | None
    max_norm: Penalty | None
    input_noise: Noise | None
    hidden_noise: Noise | None
    output_noise: Noise | None
    noise: Noise | None
    input_dropout: Noise | None
    hidden_dropout: Noise | None
    output_dropout: Noise | None
    dropout: Noise | None
    regularizers: Sequence[Any] | Mapping[str, Any] | None
    penalty_scale: float | None
    reg_lambda: float | None
