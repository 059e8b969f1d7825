"""Windows, and loops over them: twins of convolution and pooling."""

import itertools

import numpy as np

import theanets


def padded(n, size, stride, dilation, mode):
    """Get the padding in front and the number of positions of an axis, by counting."""
    extent = (size - 1) * dilation + 1
    if mode == "same":
        count = -(-n // stride)
        front = max((count - 1) * stride + extent - n, 0) // 2
        return front, count
    front, behind = mode
    starts = range(-front, n + behind - extent + 1, stride)
    return front, len(starts)


def window_places(shape, window):
    """Generate position i, j and the places of its entries: (a, c, row, column)."""
    sides = []
    for n, k, s, d, low, high in zip(shape, *window, strict=True):
        if k == 0:
            sides.append([[(a, a) for a in range(n)]])
            continue
        front, count = padded(n, k, s, d, "same" if low < 0 else (low, high))
        sides.append([[(a, i * s + a * d - front) for a in range(k)] for i in range(count)])
    for (i, rows), (j, columns) in itertools.product(enumerate(sides[0]), enumerate(sides[1])):
        places = [
            (a, c, p, q)
            for (a, p), (c, q) in itertools.product(rows, columns)
            if 0 <= p < shape[0] and 0 <= q < shape[1]
        ]
        yield i, j, places


def result_shape(x, window):
    last = list(window_places(x.shape[1:3], window))[-1]
    return len(x), last[0] + 1, last[1] + 1


def pooled(x, values, window, kind):
    """Pool the values; for 'max' those at the first largest entries of x."""
    y = np.zeros((*result_shape(x, window), x.shape[3]))
    for i, j, places in window_places(x.shape[1:3], window):
        for b, m in itertools.product(range(len(x)), range(x.shape[3])):
            here = [(x[b, p, q, m], values[b, p, q, m]) for _, _, p, q in places]
            if kind == "max":
                numbers = [v for v, _ in here]
                nans = [n for n, v in enumerate(numbers) if np.isnan(v)]
                y[b, i, j, m] = here[nans[0] if nans else numbers.index(max(numbers))][1]
            else:
                y[b, i, j, m] = sum(v for _, v in here)
    return y


def regressor(*layers, **kwargs):
    return theanets.Regressor(list(layers), dtype="float64", **{"rng": 13, **kwargs})
