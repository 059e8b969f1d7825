"""Sums over paths through sequences: of labels in a chain, and of alignments (CTC)."""

from .chain import (
    ForwardBackward,
    PathCounts,
    Viterbi,
    chain_best,
    chain_counts,
    chain_sums,
    with_boundary,
)
from .ctc import Alignments

__all__ = [
    "Alignments",
    "ForwardBackward",
    "PathCounts",
    "Viterbi",
    "chain_best",
    "chain_counts",
    "chain_sums",
    "with_boundary",
]
