"""Data, and ways of train, for the tests of what theanets 0.8 documented."""

import numpy as np

FAST = {"mode": "FAST_COMPILE"}
ONCE = {"epochs": 1, **FAST}
RNG = np.random.default_rng(1)
X, Y, SERIES = (RNG.normal(size=shape).astype("f") for shape in ((12, 4), (12, 3), (6, 5, 4)))
