"""Modules of PyTorch whose numbers are none of those that they start with."""

import pytest

torch = pytest.importorskip("torch")

CLOSE = dict(rtol=1e-5, atol=1e-5)


def shaken(module):
    """Get a module whose parameters and running statistics are none of those it starts with."""
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) * 1.2 - (0.0 if "var" in name else 0.5))
                if "var" in name:
                    value.add_(0.3)
    return module.eval()
