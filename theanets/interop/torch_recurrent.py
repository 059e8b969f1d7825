"""Recurrent modules of PyTorch: RNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any

from ..export.torch_arrays import PAIRS, Array
from .plan import RECURRENT
from .torch_walk import Walk, reads, state

KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@reads("RNN", "LSTM", "GRU", start=lambda m: (None, m.input_size), channels_first=False)
def recurrent(walk: Walk, module: Any, path: str) -> None:
    """Read a recurrence of several layers, perhaps in both directions; its series passes on."""
    walk.expect(module, path, 2, False)
    walk.refuse_unless(
        walk.shape[-1] == module.input_size,
        module,
        path,
        f"input_size={module.input_size}, but {walk.shape[-1]} come",
    )
    proj = getattr(module, "proj_size", 0)
    walk.refuse_unless(not proj, module, path, f"proj_size={proj} has no counterpart")
    walk.time_first = walk.time_first or not module.batch_first
    form, options = module.mode.partition("_")[0].lower(), {}
    if form == "rnn":
        options["activation"] = module.nonlinearity
    elif form == "lstm":
        options["peepholes"] = False
    else:
        options["reset_after"] = True
    for i in range(module.num_layers):
        name = layer_name(walk.plan.name(path), i)
        if i and module.dropout:
            walk.plan.add("dropout", f"{name}+dropout", rate=float(module.dropout))
        params = PAIRS[form].ours(state(module, KEYS, f"_l{i}"))
        if not module.bidirectional:
            walk.plan.add(form, name, params, size=module.hidden_size, **options)
            continue
        back = PAIRS[form].ours(state(module, KEYS, f"_l{i}_reverse"))
        halves: dict[str, Array] = {f"fw_{key}": value for key, value in params.items()}
        halves.update({f"bw_{key}": value for key, value in back.items()})
        worker = {"form": form, **options}
        size = 2 * module.hidden_size
        walk.plan.add("bidirectional", name, halves, size=size, worker=worker)
    walk.shape = (walk.shape[0], module.hidden_size * (2 if module.bidirectional else 1))


def layer_name(name: str, i: int) -> str:
    """Get the name of the i-th layer of a module of several."""
    return f"{name}+{i}" if i else name


def only_last(walk: Walk, path: str) -> None:
    """Let only what the recurrence ends with pass."""
    found = walk.plan.last
    walk.refuse_unless(
        found["form"] in RECURRENT,
        "",
        path,
        "'last' has to come right after a recurrent module, RNN, LSTM or GRU",
    )
    found["last"] = True
    walk.shape = walk.shape[1:]
    walk.time_first = False
