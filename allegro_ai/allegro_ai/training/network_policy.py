"""A checkpoint as a policy: run by the graph that would be exported, so what is evaluated is what ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.backends import BACKENDS
from allegro_ai.graph import inspect
from allegro_ai.policy import GraphPolicy
from allegro_ai.training.layout import Layout, make_layout
from allegro_ai.training.network_graph import build_network_onnx


def network_policy(layout: Layout, weights: Mapping[str, NDArray[np.float32]]) -> GraphPolicy:
    """An actor's weights as a policy of a batch of any size."""
    data = build_network_onnx(layout, weights).SerializeToString()
    engine = BACKENDS.load('onnxruntime')(data, inspect(data).spec)
    return GraphPolicy(engine, layout.terms, 'action', stack=layout.steps)


def network(hand: HandModel, path: str | Path) -> GraphPolicy:
    """The policy ``network`` of the table: a checkpoint file or the folder of a run.

    Raises:
        ConfigError: there is no checkpoint, or it was made for another hand.
        MissingDependency: safetensors or onnxruntime is absent.
    """
    from allegro_ai.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path, hand)
    return network_policy(make_layout(hand, checkpoint.terms, checkpoint.settings.steps), checkpoint.actor)
