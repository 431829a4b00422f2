"""The lazy plug-in table: a name, the ``module:Class`` behind it, and the pip extra that provides it.

Nothing is imported until :meth:`PluginTable.load`. Entry points of the table's group are read last and each in
its own ``try``, so that a broken third-party plug-in never takes down what is built in.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from allegro_description.errors import MissingDependency, UnknownPlugin


@dataclass(frozen=True, slots=True)
class Plugin:
    """Where one plug-in lives.

    Attributes:
        target: ``'package.module:Attribute'``.
        requires: top-level modules it imports beyond the base install.
        install: the command that provides them, named in errors.
    """

    target: str
    requires: tuple[str, ...] = ()
    install: str = ''


class PluginTable:
    """Names to plug-ins of one kind."""

    def __init__(self, kind: str, builtin: Mapping[str, Plugin], group: str) -> None:
        """Describe the table.

        Args:
            kind: what a plug-in is, e.g. ``'inference backend'`` (used in messages).
            builtin: the suite's own plug-ins.
            group: entry-point group for plug-ins of other packages.
        """
        self.kind, self._group = kind, group
        self._table = dict(builtin)

    def _all(self) -> dict[str, Plugin]:
        table = dict(self._table)
        for point in entry_points(group=self._group):
            table.setdefault(point.name, Plugin(point.value))
        return table

    def names(self) -> tuple[str, ...]:
        """All known names, built-in ones first."""
        return tuple(self._all())

    def load(self, name: str) -> Any:
        """Import and return the plug-in object (normally a class).

        Raises:
            UnknownPlugin: no such name.
            MissingDependency: it exists, but a package it needs is not installed or cannot be imported.
        """
        table = self._all()
        if name not in table:
            raise UnknownPlugin(self.kind, name, table)
        plugin = table[name]
        module, _, attribute = plugin.target.partition(':')
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            how = f' Install it with: {plugin.install}.' if plugin.install else ''
            raise MissingDependency(f'{self.kind} {name!r} cannot be used here: {error}.{how}') from error

    def module_of(self, name: str) -> str:
        """The module behind a name, without importing it; '' for an unknown one."""
        return self._all().get(name, Plugin('')).target.partition(':')[0]

    def install_of(self, name: str) -> str:
        """The command that provides what a plug-in needs; '' when it needs nothing, or is unknown."""
        return self._all().get(name, Plugin('')).install

    def available(self) -> list[tuple[str, bool, str]]:
        """One ``(name, usable, reason)`` per plug-in, without importing heavy libraries."""
        rows = []
        for name, plugin in self._all().items():
            absent = [m for m in plugin.requires if importlib.util.find_spec(m) is None]
            reason = f'needs {", ".join(absent)}: {plugin.install}' if absent else ''
            rows.append((name, not absent, reason))
        return rows
