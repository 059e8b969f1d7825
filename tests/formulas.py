"""What the operations of formulas mean, in NumPy, and what a formula's values come to."""

import numpy as np
from scipy.special import expit

MEANINGS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "reciprocal": lambda x: np.divide(1, x),
    "tanh": np.tanh,
    "sigmoid": expit,
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sqr": np.square,
    "pow": np.power,
    "abs": np.abs,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "mod": lambda x, y: x - np.floor(x / y) * y,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "switch": np.where,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "neq": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "rowsum": lambda x: x.sum(axis=1, keepdims=True),
    "rowmax": lambda x: x.max(axis=1, keepdims=True),
}


def evaluate(values, leaves, size):
    """Compute all values, in order; ``leaves`` are arrays by (kind, arguments)."""
    found = []
    for value in values:
        if value.op == "const":
            found.append(np.float64(value.args[0]))
        elif value.op == "n":
            found.append(np.float64(size))
        elif (value.op, value.args) in leaves:
            found.append(leaves[value.op, value.args])
        else:
            assert max(value.args) < len(found)
            found.append(MEANINGS[value.op](*(found[i] for i in value.args)))
    return found
