"""Where earlier versions had `theanets.Experiment`."""

from __future__ import annotations

from .experiment import Experiment

__all__ = ["Experiment"]
