"""Prediction, search and training on a cluster of Dask; the extra ``dask``.

`predict` and `evaluate` work where the blocks of arrays and dataframes are. Start reading in
`prediction`; `models` is how a network gets to the workers.
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

__all__ = ["evaluate", "predict"]
