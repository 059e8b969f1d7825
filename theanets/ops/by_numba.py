"""Operations for Numba: the linker, once it is imported, is told of those that are in use."""

from __future__ import annotations

from .base import tell_numba

tell_numba()
