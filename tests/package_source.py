"""The modules of a package, parsed: what each imports, and what it uses of what it imports."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

#: Where the package is.
PACKAGE = Path(__file__).resolve().parents[1] / "theanets"
TYPE_CHECKING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")


class Package:
    """The parsed modules of a package.

    ``trees`` maps names, relative to the package, to syntax trees: ``'graph'``,
    ``'layers.base'``; a package is named without ``__init__``, the outermost
    ``'__init__'``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = root.name
        self.trees: dict[str, ast.Module] = {}
        self.inits: set[str] = set()
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1] or parts
                self.inits.add(".".join(parts))
            self.trees[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))

    def absolute(self, module: str, node: ast.ImportFrom) -> str:
        """Get the absolute name of what ``from <this> import`` refers to."""
        if not node.level:
            return node.module or ""
        parts = [self.name] + ([] if module == "__init__" else module.split("."))
        up = node.level - (module in self.inits)
        return ".".join(parts[: len(parts) - up] + ([node.module] if node.module else []))

    def relative(self, name: str) -> str | None:
        """Get the module of this package that an absolute name leads to, or None."""
        parts = name.split(".")
        if parts.pop(0) != self.name:
            return None
        while parts and ".".join(parts) not in self.trees:
            parts.pop()
        return ".".join(parts) or "__init__"

    def imports(self, module: str) -> Iterator[tuple[str, int]]:
        """Generate (imported module of the package, line), imports in functions included.

        So are those that ``lazily`` and ``Later`` of `theanets.process` make. What is imported
        for annotations only, below ``if TYPE_CHECKING``, never runs.
        """
        for node in walk_runtime(self.trees[module]):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self.absolute(module, node)
                names = [f"{base}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Call):
                names = later(node)
            for name in names:
                target = self.relative(name)
                if target is not None and target != module:
                    yield target, node.lineno

    def sources(self, module: str) -> set[str]:
        """Get the modules that a module imports, and those that what it imports is written in.

        These differ where a package hands on what is in its modules.
        """
        found = {target for target, _ in self.imports(module)}
        for node in walk_runtime(self.trees[module]):
            if isinstance(node, ast.ImportFrom):
                base = self.absolute(module, node)
                for alias in node.names:
                    found |= self._handed_on(f"{base}.{alias.name}")
        for name, _ in self.uses(module):
            chain = self._handed_on(name)
            if chain & found:  # and not for annotations only
                found |= chain
        return found

    def _handed_on(self, name: str) -> set[str]:
        target = self.relative(name)
        if target is None:
            return set()
        full = self.name if target == "__init__" else f"{self.name}.{target}"
        further = self.bindings(target).get(name[len(full) + 1 :].partition(".")[0])
        return {target} | (self._handed_on(further) if further else set())

    def bindings(self, module: str) -> dict[str, str]:
        """Get the full name of whatever each imported name stands for."""
        bound = {}
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    bound[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                base = self.absolute(module, node)
                for alias in node.names:
                    bound[alias.asname or alias.name] = f"{base}.{alias.name}"
        return bound

    def uses(self, module: str, node: ast.AST | None = None) -> Iterator[tuple[str, ast.expr]]:
        """Generate (full dotted name, node) for every imported thing that the code refers to."""
        bound = self.bindings(module)
        for child in ast.walk(node or self.trees[module]):
            name = dotted(child)
            if name is not None:
                first, dot, rest = name.partition(".")
                if first in bound:
                    yield bound[first] + dot + rest, child


def walk_runtime(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree like `ast.walk`, but not into the bodies of ``if TYPE_CHECKING``."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, ast.If) and dotted(node.test) in TYPE_CHECKING:
            stack.extend(node.orelse)
        else:
            stack.extend(ast.iter_child_nodes(node))


def later(node: ast.Call) -> list[str]:
    """Get what ``lazily("theanets.a")`` or ``Later("theanets.a")`` imports."""
    called = (dotted(node.func) or "").rpartition(".")[2]
    return [
        argument.value
        for argument in node.args
        if called in ("lazily", "Later")
        and isinstance(argument, ast.Constant)
        and isinstance(argument.value, str)
    ]


def dotted(node: ast.AST) -> str | None:
    """Get ``'a.b.c'`` for the expression ``a.b.c``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        value = dotted(node.value)
        return value and f"{value}.{node.attr}"
    return None


def top(module: str) -> str:
    return module.split(".")[0]


def written(root: Path, sources: dict[str, str]) -> Package:
    """Write a package of modules by name, ``layers__in__base`` for one in another, and parse it."""
    for name, source in {"__init__": "", **sources}.items():
        path = root.joinpath(*name.split("__in__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return Package(root)
