"""Networks in files of other programs: ONNX, for runtimes that know nothing of PyTensor.

`export` is what ``net.export`` does; `to_onnx` gets the model itself. Both go by the expressions
of a network's outputs: `network` says what goes in and comes out, `writer` makes nodes of ONNX
of PyTensor's operations, and the other modules say what each operation becomes. So layers of
the user's are exported too. It needs the package onnx, which the extra ``onnx`` installs.

`to_torch_state` gets the parameters alone, as modules of PyTorch have them (`torch_state`, with
`torch_arrays`); it needs nothing. Both are imported once they are used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .. import atomic
from ..errors import ConfigurationError, check_keywords
from ..outputs import Outputs
from ..structure import Structure

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx

#: The ending of the files that can be written.
SUFFIX = ".onnx"


def to_onnx(
    net: Structure,
    *,
    outputs: str | Sequence[str] | None = None,
    dtype: str | None = None,
    lengths: bool = False,
) -> onnx.ModelProto:
    """Get a network, as it predicts, as a model of ONNX.

    Parameters
    ----------
    net : Network
        The network. Noise and dropout are left out, as in predictions.
    outputs : str or list of str, optional
        Names of outputs, ``'hid1:out'``. By default what the network predicts:
        its output, and of a classifier ``label`` before that, the most probable
        class of each example or step, of the type int64.
    dtype : {'float32', 'float64'}, optional
        Type of the floats in the file; by default that of the network.
        onnxruntime computes few things in float64, convolutions not among them.
    lengths : bool
        Whether the model takes the lengths of series too, as ``lengths``, or
        ``<input>_lengths`` if there are several, of the type int32. For
        networks of series that have no layer of lengths; one that has takes
        them in any case.

    Returns
    -------
    onnx.ModelProto
        Inputs and outputs have the names of the network's. The axis of
        examples is called ``batch`` and may have any length, as all others
        whose length the network leaves open. The network's ``metadata`` are
        the model's, as JSON but for what is a text.

    Raises
    ------
    ConfigurationError
        If an argument has no meaning, or something that the network computes
        has no counterpart in ONNX, of which the message says the layer.
    ImportError
        If the package onnx is not installed.
    """
    if lengths:
        with_lengths = getattr(net, "_with_lengths", None)
        if with_lengths is None:
            raise ConfigurationError(
                f"lengths={lengths!r}: a {type(net).__name__} has no series; those of "
                "theanets.recurrent have"
            )
        net = with_lengths()
    named = [outputs] if isinstance(outputs, str) else outputs
    if named is not None and not (isinstance(named, Sequence) and len(named)):
        raise ConfigurationError(
            f"outputs={outputs!r} is not a list of names of outputs such as ['hid1:out']"
        )
    return made(net, named, dtype)


def made(
    net: Structure,
    outputs: Sequence[str] | None,
    dtype: str | None,
    changed: Callable[[Outputs], dict[str, Any]] | None = None,
) -> onnx.ModelProto:
    """Get a model of outputs, or of what a function makes of their expressions, by name."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "the export to ONNX needs the package onnx; install it with: pip install "
            "'theanets[onnx]'"
        ) from error
    from .network import model

    return model(net, outputs, dtype, changed)


def export(net: Structure, target: str | os.PathLike[str], **options: Any) -> None:
    """Write the network, as it predicts, to a file of ONNX, for other runtimes.

    Parameters
    ----------
    target : path
        Ends in ``.onnx``. It is written atomically, and not touched if the
        network cannot be exported.
    outputs, dtype, lengths
        See `theanets.export.to_onnx`.

    Raises
    ------
    ConfigurationError
        If an argument has no meaning, or something that the network computes
        has no counterpart in ONNX, of which the message says the layer.
    FileError
        If the file cannot be written.
    ImportError
        If the package onnx is not installed.
    """
    valid = ("outputs", "dtype", "lengths")
    where = "export (as the network predicts, without noise)"
    check_keywords(where, set(options) - set(valid), valid)
    written(target, lambda: to_onnx(net, **options))


def written(target: str | os.PathLike[str], make: Callable[[], onnx.ModelProto]) -> None:
    """Write a model, made once it is known that it can be written."""
    if not isinstance(target, (str, os.PathLike)):
        raise ConfigurationError(
            f"export to {target!r}: expected a path; theanets.export.to_onnx(net)."
            "SerializeToString() gives what would be in the file"
        )
    path = os.fspath(target)
    ending = os.path.splitext(path)[1]
    if ending.lower() != SUFFIX:
        raise ConfigurationError(
            f"{path!r} ends in {ending!r}: networks are exported to files that end in {SUFFIX!r}; "
            "save() writes those that load() reads"
        )
    atomic.check_writable(path)
    atomic.write(path, make().SerializeToString())


def to_torch_state(net: Structure, like: Iterable[str] | Any = None) -> dict[str, npt.NDArray[Any]]:
    """Get the parameters as the state of a module of PyTorch, without needing PyTorch.

    It is what ``load_state_dict`` takes, of a module with the parts that
    `theanets.from_torch` makes such layers of, once its arrays are tensors. ::

        state = {k: torch.tensor(v) for k, v in net.to_torch_state().items()}
        module.load_state_dict(state)

    Parameters
    ----------
    like : iterable of str, optional
        The names that are wanted, ``module.state_dict()`` for instance, or the module itself.
        Layers here always have a bias, and normalizations a scale: zeros and ones are left out
        where none are wanted.

    Returns
    -------
    dict of str to ndarray
        Names are those of the layers, with dots for ``/``, and the parameter's:
        ``'hid1.weight'``; of what `theanets.from_torch` made of one module, those of
        its state. Of a layer ``0+1``, the second of a recurrent module, it is
        ``'0.weight_ih_l1'``. A recurrence has the sum of both biases as
        ``bias_ih``, and zeros as ``bias_hh``. After a flat image, the weights are
        in the order of PyTorch's, with channels first.

    Raises
    ------
    ConfigurationError
        If some layer has parameters, or an option, that no module of PyTorch
        has, or names are not those of ``like``; says which.
    """
    from .torch_state import state_of

    names = like.state_dict() if hasattr(like, "state_dict") else like
    if names is not None and not isinstance(names, Iterable):
        raise ConfigurationError(f"like={like!r} is neither a module nor names of its state")
    return state_of(net, names)


__all__ = ["export", "to_onnx", "to_torch_state"]
