"""Prediction, search and training on a cluster of Dask; the extra ``dask``.

`predict`, `evaluate` and `train` work where the blocks of arrays and dataframes are. Start reading
in `prediction`; `models` is how a network gets to the workers, `shards` what blocks are. `training`
leads to `stepwise`, where workers add up gradients (`collective` is how), and to `averaged`.
`scheduler` keeps trainings apart, and clears up after clients that are gone.
"""

from __future__ import annotations

try:
    import dask.array
    import dask.dataframe  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError(
        "theanets.dask needs Dask; install it with: pip install 'theanets[dask]'"
    ) from error

from .evaluation import evaluate
from .prediction import predict
from .stepwise import LostWorkerError
from .training import train
from .warming import warmup

__all__ = ["LostWorkerError", "evaluate", "predict", "train", "warmup"]
