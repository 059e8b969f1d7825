"""Rewritten graphs on the disk: the next process takes them from there instead of rewriting.

Of the time that a first training takes with a filled compile cache, most was PyTensor's
rewriting. What comes of it depends on the graph, the rewrites and the configuration alone, so
that these make the name of a file beside what Numba keeps. The file is a pickle, as Numba's are:
who may write there may have any code executed.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from pytensor import config
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.destroyhandler import DestroyHandler
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter

from .. import atomic
from ..errors import FileError
from ..versions import features
from . import fingerprints

log = logging.getLogger("theanets")

#: Bytes of the digest at the end of a file.
DIGEST = 16
#: Whose rewrites are what they were as long as the files of these packages are.
REWRITERS = {*fingerprints.KNOWN, "pymc"}
#: PyTensor's flags by which a rewrite may do other things.
FLAGS = (
    *("floatX", "cast_policy", "cxx", "openmp", "openmp_elemwise_minsize", "cycle_detection"),
    *("optimizer", "optimizer_including", "optimizer_excluding", "optimizer_requiring"),
    *("optdb__max_use_ratio", "optdb__position_cutoff", "tensor__cmp_sloppy"),
    *("tensor__insert_inplace_optimizer_validate_nb", "tensor__local_elemwise_fusion"),
    *("scan__allow_gc", "scan__allow_output_prealloc", "numba__fastmath"),
)


def remembered(mode: Mode) -> Mode:
    """Get a mode whose rewrites are looked up."""
    if not config.numba__cache:
        return mode
    return Mode(mode.linker, Remembering(mode.optimizer))


class Remembering(GraphRewriter):
    """Rewrites, unless that was done before.

    Parameters
    ----------
    rewriter : GraphRewriter
        What rewrites.
    """

    def __init__(self, rewriter: Any) -> None:
        self.rewriter = rewriter

    def apply(self, fgraph: FunctionGraph) -> Any:
        """Rewrite a graph, or put what came of an equal one in its place."""
        path = self._path(fgraph)
        if path is None:
            return self.rewriter.rewrite(fgraph)
        before = list(features(fgraph) or ())
        found = _read(path)
        profile = None
        if found is None:
            profile = self.rewriter.rewrite(fgraph)
            try:
                found = pickle.dumps(_described(fgraph))
            except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
                log.debug("a graph cannot be pickled: %s", error)
                return profile
            _write(path, found)
        # Also now, so that this process computes in the same order as the next.
        _put(fgraph, pickle.loads(found), before)
        return profile

    def _path(self, fgraph: FunctionGraph) -> Path | None:
        """Get where the result is, or None if it is not to be kept."""
        rewriter = _described_rewriter(self.rewriter)
        # Who watches how a graph is rewritten wants to see it.
        watched = config.profile or config.profile_optimizer or config.optimizer_verbose
        if rewriter is None or watched or features(fgraph) is None:
            return None
        try:
            graph = fingerprints.of(fgraph)
        except fingerprints.Unknown as what:
            log.debug("a graph is not looked up: %s", what)
            return None
        flags = [getattr(config, name, None) for name in FLAGS]
        digest = hashlib.sha256(repr((graph, rewriter, flags)).encode())
        return _folder() / f"theanets-graph-{digest.hexdigest()}.pkl"


def _described(fgraph: FunctionGraph) -> Any:
    """Get a graph as numbers: pickled as it is, it would be as deep as it is long."""
    places: dict[Any, int] = {x: i for i, x in enumerate(fgraph.inputs)}
    constants: list[Any] = []

    def place(x: Any) -> int:
        if x not in places:
            if not isinstance(x, Constant):
                raise TypeError(f"{x} is neither computed nor given")
            places[x] = -1 - len(constants)
            constants.append((type(x), x.type, x.data))
        return places[x]

    nodes = []
    count = len(fgraph.inputs)
    for node in fgraph.toposort():
        taken = [place(x) for x in node.inputs]
        for x in node.outputs:
            places[x], count = count, count + 1
        nodes.append((node.op, taken, [x.type for x in node.outputs]))
    outputs = [place(x) for x in fgraph.outputs]
    return constants, nodes, outputs


def _put(fgraph: FunctionGraph, described: Any, before: Iterable[Any]) -> None:
    """Put a graph in the place of another with the same inputs."""
    constants, nodes, outputs = described
    for feature in list(features(fgraph) or ()):
        if not any(feature is one for one in before):
            fgraph.remove_feature(feature)
    values: list[Any] = list(fgraph.inputs)
    fixed = [kind(type, data) for kind, type, data in constants]

    def value(place: int) -> Any:
        return values[place] if place >= 0 else fixed[-1 - place]

    for op, taken, types in nodes:
        node: Apply = Apply(op, [value(place) for place in taken], [type() for type in types])
        values.extend(node.outputs)
    for i, place in enumerate(outputs):
        client, at = fgraph.get_output_client(i)
        fgraph.change_node_input(client, at, value(place), reason="remembered")
    fgraph.attach_feature(DestroyHandler())


def _folder() -> Path:
    return Path(config.base_compiledir) / "numba"


def _read(path: Path) -> bytes | None:
    """Get what is in a file, unless it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, end = data[:-DIGEST], data[-DIGEST:]
    return body if hashlib.blake2b(body, digest_size=DIGEST).digest() == end else None


def _write(path: Path, body: bytes) -> None:
    try:
        atomic.write(path, body + hashlib.blake2b(body, digest_size=DIGEST).digest())
    except (OSError, FileError) as error:
        # Numba says so too, and not as quietly.
        log.debug("a graph cannot be kept in %s: %s", path, error)


@cache
def _files(package: str) -> str:
    """Get what changes with any file of a package."""
    digest = hashlib.sha256()
    root = Path(sys.modules[package].__file__ or "").parent
    for path in sorted(root.rglob("*.py")):
        found = path.stat()
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


_rewriters: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()


def _described_rewriter(rewriter: Any) -> str | None:
    """Get what tells a rewriter from others, or None if some of it is of other packages."""
    if rewriter not in _rewriters:
        parts = list(_parts_of(rewriter, set()))
        sources = {fingerprints.package_of(type(part)) for part in parts}
        sources |= {fingerprints.package_of(getattr(part, "fn", type(part))) for part in parts}
        described = None
        if sources <= REWRITERS:
            versions = [sys.version, np.__version__]
            versions += [_files(name) for name in sorted(sources.union(fingerprints.KNOWN))]
            names = [f"{type(part).__qualname__} {getattr(part, 'name', '')}" for part in parts]
            described = f"{versions} {names}"
        _rewriters[rewriter] = described
    return _rewriters[rewriter]


def _parts_of(rewriter: Any, seen: set[int]) -> Iterable[Any]:
    """Go through a rewriter and all that it is made of."""
    if id(rewriter) in seen:
        return
    seen.add(id(rewriter))
    yield rewriter
    inner = list(getattr(rewriter, "data", ()))
    for name in ("node_rewriter", "rewriters", "_rewriter", "final_rewriters", "cleanup_rewriters"):
        found = getattr(rewriter, name, None)
        inner += found if isinstance(found, (list, tuple)) else [] if found is None else [found]
    if hasattr(rewriter, "get_node_rewriters"):
        inner += rewriter.get_node_rewriters()
    for part in inner:
        yield from _parts_of(part, seen)
