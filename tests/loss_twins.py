"""Twins of the formulas of losses, in NumPy."""

import numpy as np
import scipy.special as sc
import scipy.stats as st


def huber(y, t, delta):
    d = np.abs(y - t)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2))


def pinball(y, t, q):
    return np.where(t >= y, q * (t - y), (1 - q) * (y - t))


def several_quantiles(y, t, orders):
    y = y.reshape(*t.shape, len(orders))
    return np.mean([pinball(y[..., i], t, q) for i, q in enumerate(orders)], axis=0)


def cosine(y, t, axis):
    norm = np.linalg.norm
    return 1 - (y * t).sum(axis) / norm(y, axis=axis) / norm(t, axis=axis)


def mixture(outputs, target):
    logits, means, scales = outputs
    pi, k, d = sc.softmax(logits, -1), logits.shape[-1], target.shape[-1]
    found = np.zeros(target.shape[:-1])
    for i in np.ndindex(found.shape):
        density = 0.0
        for j in range(k):
            mean = means[i][j * d : (j + 1) * d]
            scale = scales[i][j : j + 1] if len(scales[i]) == k else scales[i][j * d : (j + 1) * d]
            density += pi[i][j] * np.prod(st.norm.pdf(target[i], mean, scale + 1e-3))
        found[i] = -np.log(density)
    return found


def at(values, target):
    return np.take_along_axis(values, np.asarray(target)[..., None], -1)[..., 0]


def cross_entropy(z, t, weight=None, smoothing=0.0, temperature=1.0, ignore=None):
    logp = np.log(sc.softmax(z / temperature, axis=-1))
    k = z.shape[-1]
    weight = np.ones(k) if weight is None else np.asarray(weight)
    if t.dtype.kind == "f":
        found = -(weight * ((1 - smoothing) * t + smoothing / k) * logp).sum(-1)
        return found, (weight * t).sum(-1) / t.sum(-1)
    seen = np.ones(t.shape, bool) if ignore is None else t != ignore
    t = np.where(seen, t, 0)
    found = -(1 - smoothing) * weight[t] * at(logp, t) - smoothing / k * (weight * logp).sum(-1)
    return found * seen, weight[t] * seen


def focal(z, t, gamma, alpha=None):
    p = at(sc.softmax(z, -1), t)
    return (1 if alpha is None else np.asarray(alpha)[t]) * -((1 - p) ** gamma) * np.log(p)


def hinge(z, t, kind, margin, power=1):
    if kind == "binary":
        return np.maximum(0, margin - np.where(t > 0, 1, -1) * z) ** power
    found = np.zeros(t.shape)
    for i in np.ndindex(found.shape):
        gaps = [max(0, margin + z[i][k] - z[i][t[i]]) for k in range(z.shape[-1]) if k != t[i]]
        if kind == "crammer-singer":
            found[i] = max(gaps) ** power
        else:
            found[i] = sum(gap**power for gap in gaps)
    return found


def square(z, t, k, m):
    found = np.zeros(t.shape)
    for i in np.ndindex(found.shape):
        terms = [k * (v - m) ** 2 if c == t[i] else v**2 for c, v in enumerate(z[i])]
        found[i] = np.mean(terms)
    return found


def squentropy(z, t):
    found = -at(np.log(sc.softmax(z, -1)), t)
    for i in np.ndindex(found.shape):
        found[i] += np.mean([v**2 for c, v in enumerate(z[i]) if c != t[i]])
    return found


def binary(p, t, weight=1.0):
    return -weight * t * np.log(p) - (1 - t) * np.log(1 - p)


def binary_focal(z, t, gamma, alpha):
    p = sc.expit(z)
    yes, no = -((1 - p) ** gamma) * np.log(p), -(p**gamma) * np.log(1 - p)
    a, b = (1, 1) if alpha is None else (alpha, 1 - alpha)
    return t * a * yes + (1 - t) * b * no


def l_softmax(arrays, target, margin, plain=0.0):
    x, w = arrays
    found = np.zeros(len(target))
    for i, t in enumerate(target):
        z = x[i] @ w
        length = np.linalg.norm(x[i]) * np.linalg.norm(w[:, t])
        angle = np.arccos(z[t] / length)
        turn = int(angle // (np.pi / margin))
        psi = (-1) ** turn * np.cos(margin * angle) - 2 * turn
        z[t] = (length * psi + plain * z[t]) / (1 + plain)
        found[i] = -np.log(sc.softmax(z)[t])
    return found


def gaussian(y, t, eps):
    return -st.norm.logpdf(t, y[0], np.sqrt(y[1] + eps))
