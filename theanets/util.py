"""What earlier versions had in this module; all of it has a place of its own now."""

from __future__ import annotations

import logging
from typing import Any

from .errors import ConfigurationError, Error
from .init import random_matrix, random_vector

__all__ = ["ConfigurationError", "Error", "log", "random_matrix", "random_vector"]


def log(message: object, *args: Any, **kwargs: Any) -> None:
    """Log a message to ``logging.getLogger('theanets')``, at the level ``INFO``.

    Parameters
    ----------
    message : object
        What is logged. Braces are places for the arguments, as in
        `str.format`, if there are any arguments, and else stay as they are.
    *args, **kwargs
        The arguments.
    """
    text = str(message)
    logging.getLogger(__package__).info(
        "%s", text.format(*args, **kwargs) if args or kwargs else text
    )
