"""Inference backends as a run names them: ``openvino/bf16``, or ``package.module:Class`` of your own."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allegro_ai.backend_commands import COMPILED
from allegro_ai.backends import BACKENDS, split_name
from allegro_ai.bundle import Bundle
from allegro_ai.contract import golden_tolerance
from allegro_description.errors import AllegroError, ConfigError, MissingDependency, UnknownPlugin

NULL = 'null'
"""Always measured: its response is the floor of the harness."""

REFERENCES = ('torch/fp32', 'numpy/fp32')
"""What opens and closes a run; the second where the first is absent."""

PACKAGES = {'onnxruntime': 'onnxruntime', 'onnxruntime_cuda': 'onnxruntime-gpu',
            'onnxruntime_tensorrt': 'onnxruntime-gpu', 'openvino': 'openvino', 'torch': 'torch', 'torch_cuda': 'torch',
            'torch_compile': 'torch', 'aotinductor': 'torch', 'numpy': 'numpy', 'null': 'numpy'}
"""Backend to the package whose version counts."""

NVIDIA = Path('/dev/nvidiactl')
"""There is a driver for NVIDIA GPUs where this exists."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One backend in one precision."""

    plugin: str
    precision: str

    @property
    def name(self) -> str:
        """How it is called in results."""
        return NULL if self.plugin == NULL else f'{self.plugin}/{self.precision}'

    @property
    def version(self) -> str | None:
        """Version of the package behind it."""
        try:
            return importlib.metadata.version(PACKAGES[self.plugin])
        except (KeyError, importlib.metadata.PackageNotFoundError):
            return None

    @property
    def device(self) -> str:
        """Where it computes."""
        return 'gpu' if self.plugin.endswith(('_cuda', '_tensorrt')) else 'cpu'

    def load(self) -> Any:
        """The class behind it.

        Raises:
            UnknownPlugin: no such backend.
            MissingDependency: its package is absent.
            ConfigError: a class of your own that cannot be imported.
        """
        if ':' not in self.plugin:
            return BACKENDS.load(self.plugin)
        module, _, attribute = self.plugin.partition(':')
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f'backend {self.plugin} cannot be imported: {error}; the form is package.module:Class, '
                              'and the package has to be on PYTHONPATH') from error


def engine(name: str) -> Engine:
    """Parse a name; without a slash the precision is ``fp32``.

    Raises:
        UnknownName: no such precision, or no such backend.
    """
    plugin, precision = split_name(name)
    if ':' not in plugin and plugin not in BACKENDS.names():
        raise UnknownPlugin('inference backend', plugin, BACKENDS.names())
    return Engine(plugin, precision)


def usable(bundle: Bundle) -> tuple[list[Engine], list[str]]:
    """Every backend and precision that can run this policy here, and a sentence for each that is left out.

    Backends that compile for half a minute at each load are left out unless they are named.
    """
    found, left = [], []
    for name, here, why in BACKENDS.available():
        if name == NULL:
            continue
        if name in COMPILED:
            left.append(f'{name}: compiles for a long time at each load; name it to measure it')
            continue
        if Engine(name, 'fp32').device == 'gpu' and not NVIDIA.exists():
            left.append(f'{name}: no NVIDIA GPU on this machine')
            continue
        if not here:
            left.append(f'{name}: {why}')
            continue
        try:
            precisions: Sequence[str] = BACKENDS.load(name).precisions
        except MissingDependency as error:
            left.append(f'{name}: {error}')
            continue
        for precision in precisions:
            try:
                golden_tolerance(bundle.contract, name, precision)
            except AllegroError:
                left.append(f'{name}/{precision}: the bundle records no tolerance for it')
                continue
            found.append(Engine(name, precision))
    return found, left


def reference() -> tuple[Engine, str]:
    """What opens and closes a run, and, where it is not torch, why."""
    first, second = (engine(name) for name in REFERENCES)
    here = {name: (usable_, why) for name, usable_, why in BACKENDS.available()}
    usable_here, why = here[first.plugin]
    return (first, '') if usable_here else (second, f'reference of the drift check is {second.name}, not {first.name}: '
                                                    f'{why}')
