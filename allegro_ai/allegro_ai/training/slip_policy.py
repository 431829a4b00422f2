"""A student of SlipArrest as a policy, and its file; no torch needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_ai.backends import BACKENDS
from allegro_ai.graph import inspect
from allegro_ai.integrity import hand_fingerprint
from allegro_ai.policy import GraphPolicy
from allegro_ai.tasks.slip_arrest import VERSION
from allegro_ai.training.layout import FINGER_TERMS, HAND_TERMS, Layout, make_layout
from allegro_ai.training.slip_graph import ACTION, SLIP, build_slip_onnx, recurrence
from allegro_ai.training.slip_settings import SlipSettings

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class SlipRun:
    """A run that was read from its file.

    Attributes:
        weights: of the network. touch: whether it feels. seed: of the run.
        curve: numbers of each round. settings: everything it was trained with.
    """

    weights: Weights
    touch: bool
    seed: int
    curve: list[dict[str, float]]
    settings: Mapping[str, Any]

    @property
    def hidden(self) -> int:
        """Width of its memory."""
        return int(self.weights['head.weight'].shape[1])

    @property
    def seconds(self) -> float:
        """Wall-clock time that training took."""
        return self.curve[-1].get('seconds', 0.0)

    @property
    def episodes(self) -> float:
        """Episodes that it was shown."""
        return sum(row.get('episodes', 0.0) for row in self.curve)


def student_terms(touch: bool) -> tuple[str, ...]:
    """What the student reads."""
    return tuple(t for t in (*FINGER_TERMS, *HAND_TERMS, 'joint_delta', 'last_action')
                 if touch or not t.startswith('tactile'))


def student_policy(hand: HandModel, layout: Layout, weights: Weights, engine: str = 'onnxruntime') -> GraphPolicy:
    """The student as it would be deployed: its graph in an inference engine, for a batch of any size."""
    data = build_slip_onnx(hand, layout, weights).SerializeToString()
    backend = BACKENDS.load(engine)(data, inspect(data).spec)
    return GraphPolicy(backend, layout.terms, ACTION, recurrences=(recurrence(weights),), extras=(SLIP,))


def save_student(
    path: Path, hand: HandModel, settings: SlipSettings, weights: Weights, curve: list[dict[str, float]],
) -> None:
    """Write a run to one npz file, replacing an older one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix('.part')
    facts = np.array([[row[name] for name in sorted(row)] for row in curve])
    with part.open('wb') as out:
        arrays: dict[str, Any] = {f'w/{k}': v for k, v in weights.items()}
        arrays |= {'curve': facts, 'columns': np.array(sorted(curve[0])), 'facts': np.array([
            VERSION, hand.name, hand_fingerprint(hand), str(int(settings.touch)), str(settings.seed)]),
                   'settings': np.array([[name, json.dumps(value)] for name, value in asdict(settings).items()])}
        np.savez(out, **arrays)
    part.replace(path)


def load_student(path: Path, hand: HandModel) -> SlipRun:
    """Read a run.

    Raises:
        ConfigError: no such file, not one of these, of another version of the task, or made for another hand.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            facts = data['facts'].tolist()
            weights = {name[2:]: data[name] for name in data.files if name.startswith('w/')}
            curve = [dict(zip(data['columns'].tolist(), row, strict=True)) for row in data['curve'].tolist()]
            settings = {name: json.loads(value) for name, value in data['settings'].tolist()}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f'{path} is no student of SlipArrest ({error}); allegro-ai train slip_arrest writes one') from error
    if facts[1:3] != [hand.name, hand_fingerprint(hand)]:
        raise ConfigError(f'{path} was trained for {facts[1]} as it was described then; train again for {hand.name}')
    if facts[0] != VERSION:
        raise ConfigError(f'{path} was trained on {facts[0]}; the task is {VERSION} now. Train again')
    return SlipRun(weights, facts[3] == '1', int(facts[4]), curve, settings)


def student(hand: HandModel, path: str | Path, engine: str = 'onnxruntime') -> GraphPolicy:
    """The policy ``slip_student`` of the table: a file that ``allegro-ai train slip_arrest`` wrote.

    Raises:
        ConfigError: as :func:`load_student`.
    """
    run = load_student(Path(path), hand)
    return student_policy(hand, make_layout(hand, student_terms(run.touch), 1), run.weights, engine)
