"""The layout of a drawing: boxes in rows, joined by lines that go around all other boxes.

In rows by the longest way from a source, ordered so that few lines cross, and
moved sideways until lines are as straight as they can be: the steps of
K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of
hierarchical system structures", IEEE Transactions on Systems, Man, and
Cybernetics 11 (1981).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]

#: How far boxes in a row are apart, and rows.
GAP, ROW_GAP = 28.0, 38.0
#: Width that a line takes where it passes a row.
LINE = 10.0
#: How straight a line wants to be, by how many of its ends are boxes: 0, 1, 2.
_STIFF = (8.0, 2.0, 4.0)
_SWEEPS = 24


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes
    ----------
    boxes : list of (x, y)
        The middle of each box.
    bends : list of list of (x, top, bottom)
        For each line, where it passes the rows that it leaves, crosses and
        enters: straight down from ``top`` to ``bottom``.
    width, height : float
        Of all of it.
    """

    boxes: list[Point]
    bends: list[list[tuple[float, float, float]]]
    width: float
    height: float


def arrange(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place boxes, none of which overlap.

    Parameters
    ----------
    sizes : list of (width, height)
        Of the boxes, in an order in which edges lead forwards.
    edges : list of (source, target)
        Pairs of positions in ``sizes``, source < target.

    Returns
    -------
    Layout
    """
    rows = _rows(len(sizes), edges)
    count = len(sizes)
    widths = [width for width, _ in sizes]
    # Where an edge crosses a row there is a node of its own.
    chains: list[list[int]] = []
    for source, target in edges:
        chain = [source]
        for row in range(rows[source] + 1, rows[target]):
            chain.append(len(widths))
            rows.append(row)
            widths.append(LINE)
        chains.append([*chain, target])
    links = [(a, b) for chain in chains for a, b in pairwise(chain)]
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for a, b in links:
        below[a].append(b)
        above[b].append(a)
    lines: list[list[int]] = [[] for _ in range(max(rows, default=-1) + 1)]
    for node, row in enumerate(rows):
        lines[row].append(node)
    # Where lines go around boxes on the left, or all is the other way around, fewer may cross.
    starts = [lines, [sorted(line, key=lambda n: n < count) for line in lines]]
    starts.append([line[::-1] for line in lines])
    found = [_ordered(start, above, below) for start in starts]
    lines = min(found, key=lambda each: _crossings(each, below))
    x = _sideways(lines, widths, above, below, count)
    far = [0.0] * len(lines)
    for a, b in links:
        far[rows[a]] = max(far[rows[a]], abs(x[a] - x[b]))
    tops, bottoms, y = [], [], 0.0
    for row, line in enumerate(lines):
        tall = max((sizes[node][1] for node in line if node < count), default=0.0)
        tops.append(y)
        bottoms.append(y + tall)
        y += tall + ROW_GAP + min(40.0, far[row] / 8)
    left = min((x[n] - widths[n] / 2 for n in range(len(x))), default=0.0)
    x = [value - left for value in x]
    return Layout(
        [(x[n], (tops[rows[n]] + bottoms[rows[n]]) / 2) for n in range(count)],
        [[(x[n], tops[rows[n]], bottoms[rows[n]]) for n in chain] for chain in chains],
        max((x[n] + widths[n] / 2 for n in range(len(x))), default=0.0),
        bottoms[-1] if bottoms else 0.0,
    )


def _rows(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Get each box's row: below all that lead to it, and sources next to where they lead."""
    rows = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        rows[target] = max(rows[target], rows[source] + 1)
    entered = {target for _, target in edges}
    for node in range(count):
        targets = [rows[target] for source, target in edges if source == node]
        if node not in entered and targets:
            rows[node] = min(targets) - 1
    return rows


def _ordered(
    lines: list[list[int]], above: list[list[int]], below: list[list[int]]
) -> list[list[int]]:
    """Order each row by the mean position of what its nodes are joined to."""
    best, fewest = lines, _crossings(lines, below)
    for sweep in range(8):
        if not fewest:
            break
        down = sweep % 2 == 0
        near = above if down else below
        lines = [list(line) for line in lines]
        place = {node: i for line in lines for i, node in enumerate(line)}
        for line in lines if down else lines[::-1]:
            mean = {
                n: sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n]
                for n in line
            }
            line.sort(key=mean.__getitem__)
            place.update({node: i for i, node in enumerate(line)})
        found = _crossings(lines, below)
        if found < fewest:
            best, fewest = lines, found
    return best


def _crossings(lines: list[list[int]], below: list[list[int]]) -> int:
    total = 0
    for line, after in pairwise(lines):
        place = {node: i for i, node in enumerate(after)}
        ends = sorted((i, place[m]) for i, node in enumerate(line) for m in below[node])
        seen: list[int] = []
        for _, end in ends:
            total += len(seen) - bisect_right(seen, end)
            insort(seen, end)
    return total


def _sideways(
    lines: list[list[int]],
    widths: list[float],
    above: list[list[int]],
    below: list[list[int]],
    count: int,
) -> list[float]:
    """Get the middle of each node, so that joined nodes are above each other."""
    x = [0.0] * len(widths)
    for line in lines:
        at = 0.0
        for node in line:
            x[node] = at + widths[node] / 2
            at += widths[node] + GAP
        middle = (at - GAP) / 2
        for node in line:
            x[node] -= middle
    for sweep in range(_SWEEPS):
        for line in lines if sweep % 2 == 0 else lines[::-1]:
            wanted, weights = [], []
            for node in line:
                pulls = [(x[m], _STIFF[(node < count) + (m < count)]) for m in above[node]]
                pulls += [(x[m], _STIFF[(node < count) + (m < count)]) for m in below[node]]
                pulls = pulls or [(x[node], 0.01)]
                weights.append(sum(weight for _, weight in pulls))
                wanted.append(sum(to * weight for to, weight in pulls) / weights[-1])
            apart = [
                (widths[a] + widths[b]) / 2 + (GAP if min(a, b) < count else LINE / 2)
                for a, b in pairwise(line)
            ]
            for node, value in zip(line, _spread(wanted, weights, apart), strict=True):
                x[node] = value
    return x


def _spread(wanted: list[float], weights: list[float], apart: list[float]) -> list[float]:
    """Get the values nearest to the wanted ones, in weighted squares, that are so far apart.

    What is left when the distances are taken off must not decrease, which
    pooling what does solves exactly.
    """
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        pool = (value - offset, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            mean, heavy, many = pools.pop()
            total = heavy + pool[1]
            pool = ((mean * heavy + pool[0] * pool[1]) / total, total, many + pool[2])
        pools.append(pool)
    means = [mean for mean, _, many in pools for _ in range(many)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
