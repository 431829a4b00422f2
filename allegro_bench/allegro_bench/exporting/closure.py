"""Which modules of the suite a module needs, found in the syntax trees: nothing is imported for it."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from allegro_description.errors import ConfigError

SUITE = ('allegro_description', 'allegro_ai', 'allegro_bench')


@dataclass(frozen=True)
class Closure:
    """What a few modules need.

    Attributes:
        modules: name of each module of the suite, to its file.
        outside: top-level names of other packages that importing these modules needs, to those who import them.
        optional: the same for imports inside functions: they are reached only by who asks for what needs them.
    """

    modules: dict[str, Path] = field(default_factory=dict)
    outside: dict[str, set[str]] = field(default_factory=dict)
    optional: dict[str, set[str]] = field(default_factory=dict)


def closure(roots: Sequence[str], without: Collection[str] = (), *, lazy: bool = True) -> Closure:
    """Follow every import of the suite from ``roots`` on.

    Args:
        roots: names of modules.
        without: modules that are not followed and not part of it.
        lazy: follow imports inside functions too.

    Raises:
        ConfigError: a root is no module of the suite.
    """
    found, todo = Closure(), list(roots)
    for name in roots:
        if file_of(name) is None:
            raise ConfigError(f'{name} is no module of the suite')
    while todo:
        name = todo.pop()
        path = file_of(name)
        if path is None or name in found.modules or name in without:
            continue
        found.modules[name] = path
        todo.append(name.rpartition('.')[0])
        for imported, later in imports(path):
            top = imported.partition('.')[0]
            if top in SUITE:
                if lazy or not later:
                    todo.append(imported)
            elif top not in sys.stdlib_module_names:
                (found.optional if later else found.outside).setdefault(top, set()).add(name)
    return found


def file_of(name: str) -> Path | None:
    """File of a module of the suite; None for whatever else the name means."""
    top, _, rest = name.partition('.')
    if top not in SUITE:
        return None
    spec = importlib.util.find_spec(top)
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin).parent.joinpath(*rest.split('.')) if rest else Path(spec.origin).parent
    package, module = place / '__init__.py', place.with_suffix('.py')
    return package if package.is_file() else module if rest and module.is_file() else None


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every name that a file imports, and whether it does so later, inside a function; types alone do not count.

    Of ``from a import b`` both ``a`` and ``a.b`` are given, for ``b`` may be a module.
    """
    for statement in ast.parse(path.read_bytes()).body:
        yield from _of(statement, later=False)


def _of(node: ast.AST, *, later: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, later) for alias in node.names)
        return
    if isinstance(node, ast.ImportFrom):
        if node.level or node.module is None:
            raise ConfigError(f'a relative import in line {node.lineno}: the suite names modules in full')
        yield node.module, later
        yield from ((f'{node.module}.{alias.name}', later) for alias in node.names)
        return
    types = isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING')
    inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in node.orelse if types and isinstance(node, ast.If) else ast.iter_child_nodes(node):
        yield from _of(child, later=later or inside)
