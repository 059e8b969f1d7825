"""Products of sparse matrices, given as vectors, with dense ones."""

from .products import (
    Dense,
    Product,
    TransposedProduct,
    dot,
    is_sparse,
    matrix,
    placeholder,
    vectors,
    with_data,
)

__all__ = [
    "Dense",
    "Product",
    "TransposedProduct",
    "dot",
    "is_sparse",
    "matrix",
    "placeholder",
    "vectors",
    "with_data",
]
