"""``allegro_ai.graph`` in a pack: what was found in the graph when it was packed; any other graph is refused.

The check itself needs the package onnx and has been passed. The hash of the graph ties this report to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from allegro_ai.backends import GraphSpec
from allegro_description.errors import BundleError

REPORT = 'graph.json'


@dataclass(frozen=True)
class GraphReport:
    """What was found in a graph that passed: the fields of the suite's own class of this name."""

    spec: GraphSpec
    opset: int
    producer: str
    metadata: Mapping[str, str]
    parameters: int
    operators: Mapping[str, int] = field(default_factory=dict)
    macs: int = 0


def inspect(model: bytes) -> GraphReport:
    """The report of the packed graph.

    Raises:
        BundleError: these are the bytes of another graph.
    """
    known = json.loads((Path(__file__).parent / REPORT).read_text(encoding='utf-8'))
    if known.pop('sha256') != hashlib.sha256(model).hexdigest():
        raise BundleError('policy.onnx: not the graph of this pack; export a pack of your own for it')
    shapes = {side: {name: tuple(shape) for name, shape in known['spec'][side].items()}
              for side in ('inputs', 'outputs')}
    return GraphReport(**{**known, 'spec': GraphSpec(**shapes)})
