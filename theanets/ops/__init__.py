"""Our own PyTensor operations: NumPy and Numba implementations, gradients."""
