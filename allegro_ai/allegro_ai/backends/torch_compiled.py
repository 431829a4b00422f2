"""A policy compiled by torch: ``torch.compile`` in the process, or AOTInductor to a shared library. Both need g++.

Optional: compiling takes 5 to 30 s at each load, and a call through either costs more than ONNX Runtime's. Only
batches of the size that was compiled are fast; another size is compiled anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from allegro_description.errors import BundleError, MissingDependency
from numpy.typing import NDArray

from allegro_ai.backends import GraphSpec
from allegro_ai.backends.torch_eager import TorchEager

Array32 = NDArray[np.float32]


class TorchCompile(TorchEager):
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'torch_compile'
    precisions = ('fp32',)

    def __init__(self, model: bytes, spec: GraphSpec, precision: str = 'fp32') -> None:
        """Export the graph for a batch of one; other sizes follow when they occur."""
        super().__init__(model, spec, precision)
        compiler = os.environ.get('CXX', 'g++')
        if shutil.which(compiler) is None:
            raise MissingDependency(f'inference backend {self.name!r} compiles with {compiler}, which is not '
                                    'installed. Install it with: sudo apt install g++')
        self._calls: dict[tuple[Any, ...], Any] = {}
        self._shapes = {name: tuple(1 if n is None else n for n in shape) for name, shape in spec.inputs.items()}
        self._compiled({name: np.zeros(shape, dtype=np.float32) for name, shape in self._shapes.items()})

    def run(self, inputs: Mapping[str, Array32]) -> dict[str, Array32]:
        """Run what was compiled for these shapes."""
        self._call = self._compiled(inputs)
        return super().run(inputs)

    def _compiled(self, inputs: Mapping[str, Array32]) -> Any:
        key = tuple(inputs[name].shape for name in self._module.inputs)
        if key not in self._calls:
            example = tuple(torch.zeros(shape) for shape in key)
            try:
                with torch.no_grad():
                    program = torch.export.export(self._module, example)
                    self._calls[key] = self._compile(program, example)
            except Exception as error:  # the compilers of torch raise whatever went wrong inside
                said = ' '.join(str(error).split())
                raise BundleError(f'policy.onnx: backend {self.name} cannot compile it: {said[:300]}') from error
        return self._calls[key]

    def _compile(self, program: Any, example: tuple[torch.Tensor, ...]) -> Any:
        compiled: Any = torch.compile(program.module(), dynamic=False)
        with torch.inference_mode():
            compiled(*example)
        return compiled


class AotInductor(TorchCompile):
    """See :class:`allegro_ai.backends.Backend`."""

    name = 'aotinductor'

    def _compile(self, program: Any, example: tuple[torch.Tensor, ...]) -> Any:
        with tempfile.TemporaryDirectory(prefix='allegro_aoti_') as folder:
            place = str(Path(folder) / 'policy.pt2')
            package = torch._inductor.aoti_compile_and_package(program, package_path=place)
            return torch._inductor.aoti_load_package(package)
