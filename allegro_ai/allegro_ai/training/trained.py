"""A training result, whatever was trained: what publishing, evaluation and export ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

from allegro_ai.linear_graph import build_linear_onnx
from allegro_ai.linear_policy import INPUTS, LinearPolicy
from allegro_ai.policy import Policy
from allegro_ai.structured_graph import build_structured_onnx, state_entry
from allegro_ai.structured_policy import StructuredPolicy, inputs
from allegro_ai.tasks.tactile_hold import STEPS
from allegro_ai.training.random_search import TRAIN_LEVELS, load_result
from allegro_ai.training.structured import FILE as STRUCTURED_FILE
from allegro_ai.training.structured import LEVELS, load_run


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """One run of one arm.

    Attributes:
        kind: ``linear``, ``structured`` or ``network``.
        seed: training seed. touch: whether it may use touch.
        settings: everything it was trained with.
        policy, arguments: how the table of policies makes it.
        inputs: observation terms that it reads. steps: observations in its stack.
        graph: the graph that would ship.
        acting: the policy as trained, for golden vectors.
        control_steps: seen in training. wall_s: seconds it took.
        curve: mean return, or numbers, per update.
        levels: disturbance levels of training.
        normalisation: how inputs are scaled inside the graph, in words.
        states: recurrent states of the graph, as the contract names them.
    """

    kind: str
    seed: int
    touch: bool
    settings: Mapping[str, Any]
    policy: str
    arguments: Mapping[str, Any]
    inputs: tuple[str, ...]
    steps: int
    graph: onnx.ModelProto
    acting: Policy
    control_steps: int
    wall_s: float
    levels: tuple[str, ...]
    normalisation: str
    curve: list[Any] = field(default_factory=list)
    states: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """In tables."""
        return f'{self.kind}, {"with" if self.touch else "without"} touch, seed {self.seed}'

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings that all runs of both arms share."""
        left_out = ('seed', 'touch', 'time_limit_s')
        return {'kind': self.kind, **{k: v for k, v in self.settings.items() if k not in left_out}}


def load_trained(path: str | Path, hand: HandModel) -> Trained:
    """Read what ``allegro-ai train`` wrote: a ``.json`` of the linear policy or the folder of another run.

    Raises:
        ConfigError: neither, or made for another hand.
    """
    path = Path(path)
    if path.name == STRUCTURED_FILE or (path / STRUCTURED_FILE).is_file():
        return _structured(path, hand)
    if path.suffix == '.json':
        return _linear(path, hand)
    if path.is_dir() or path.suffix == '.safetensors':
        return _network(path, hand)
    raise ConfigError(f'{path} is no training result: a .json of the linear policy or the folder of a run is needed')


def _linear(path: Path, hand: HandModel) -> Trained:
    found = load_result(path)
    return Trained(
        kind='linear', seed=found.config.seed, touch=found.config.touch, settings=asdict(found.config),
        policy='linear', arguments={'parameters': np.asarray(found.parameters)}, inputs=INPUTS, steps=1,
        graph=build_linear_onnx(hand, found.parameters), acting=LinearPolicy(hand, found.parameters),
        control_steps=found.episodes * STEPS, wall_s=found.wall_s, curve=found.curve, levels=TRAIN_LEVELS,
        normalisation='squash and fixed scales, see allegro_ai.linear_policy')


def _structured(path: Path, hand: HandModel) -> Trained:
    found = load_run(path, hand)
    touch = found.settings.touch
    return Trained(
        kind='structured', seed=found.settings.seed, touch=touch, settings=asdict(found.settings),
        policy='structured', arguments={'parameters': found.parameters}, inputs=inputs(touch), steps=1,
        graph=build_structured_onnx(hand, found.parameters, touch), acting=StructuredPolicy(hand, found.parameters),
        control_steps=found.control_steps, wall_s=found.wall_s, curve=found.curve, levels=LEVELS,
        normalisation='squash and fixed scales, see allegro_ai.structured_policy', states=(state_entry(hand),))


def _network(path: Path, hand: HandModel) -> Trained:
    from allegro_ai.training.checkpoint import load_checkpoint
    from allegro_ai.training.layout import NETWORK_LEVELS, make_layout
    from allegro_ai.training.network_graph import build_network_onnx
    from allegro_ai.training.network_policy import network_policy

    found = load_checkpoint(path, hand)
    if found.stopped == 'not finite':
        raise ConfigError(f'{path}: the run broke down; train it again with a smaller learning rate')
    layout = make_layout(hand, found.terms, found.settings.steps)
    return Trained(
        kind='network', seed=found.settings.seed, touch=found.settings.touch, settings=asdict(found.settings),
        policy='network', arguments={'path': str(path)}, inputs=found.terms, steps=found.settings.steps,
        graph=build_network_onnx(layout, found.actor), acting=network_policy(layout, found.actor),
        control_steps=found.steps, wall_s=found.wall_s, curve=found.curve, levels=NETWORK_LEVELS,
        normalisation='pressures p / (p + 10 kPa), then mean and spread of training observations, bounded to ±5')
