"""A student of SlipArrest as a policy, and its file; no torch needed."""

from __future__ import annotations

from collections.abc import Mapping
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
            VERSION, hand.name, hand_fingerprint(hand), str(int(settings.touch)), str(settings.seed)])}
        np.savez(out, **arrays)
    part.replace(path)


def load_student(path: Path, hand: HandModel) -> tuple[dict[str, NDArray[np.float32]], bool, int]:
    """Read a run: weights, whether it feels, its seed.

    Raises:
        ConfigError: no such file, not one of these, or made for another hand.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            facts = data['facts'].tolist()
            weights = {name[2:]: data[name] for name in data.files if name.startswith('w/')}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f'{path} is no student of SlipArrest ({error}); allegro-ai train slip_arrest writes one') from error
    if facts[1:3] != [hand.name, hand_fingerprint(hand)]:
        raise ConfigError(f'{path} was trained for {facts[1]} as it was described then; train again for {hand.name}')
    return weights, facts[3] == '1', int(facts[4])


def student(hand: HandModel, path: str | Path, engine: str = 'onnxruntime') -> GraphPolicy:
    """The policy ``slip_student`` of the table: a file that ``allegro-ai train slip_arrest`` wrote.

    Raises:
        ConfigError: as :func:`load_student`.
    """
    weights, touch, _ = load_student(Path(path), hand)
    return student_policy(hand, make_layout(hand, student_terms(touch), 1), weights, engine)
