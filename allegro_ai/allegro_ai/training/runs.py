"""One training run from its first step or from its last checkpoint, within a limit of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

from allegro_ai.integrity import hand_fingerprint
from allegro_ai.tasks.vector import VERSION, VectorTask
from allegro_ai.training.checkpoint import FILE, Checkpoint, load_checkpoint
from allegro_ai.training.curves import write_curves
from allegro_ai.training.diagnosis import diagnose
from allegro_ai.training.layout import NETWORK_LEVELS
from allegro_ai.training.learner import Learner
from allegro_ai.training.settings import Settings
from allegro_ai.training.teachers import make_teacher
from allegro_ai.training.warm_start import warm_start

LIMIT_MINUTES = 60.0
MAY_CHANGE = ('updates', 'learning_rate', 'epochs', 'entropy')      # when a run is resumed

Progress = Callable[[dict[str, float], int, float, dict[str, float]], None]
Warn = Callable[[str], None]


def run_name(settings: Settings) -> str:
    """Folder of a run: arm and seed."""
    return f'network_{"touch" if settings.touch else "no_touch"}_seed{settings.seed}'


def make_task(hand: HandModel, settings: Settings, threads: int = 1) -> VectorTask:
    """TactileHold on training objects at the levels of training."""
    return VectorTask(hand, settings.environments, object_set='train', levels=NETWORK_LEVELS, threads=threads)


def train(
    folder: Path, hand: HandModel, settings: Settings, *, minutes: float = LIMIT_MINUTES, resume: bool = False,
    task: Any = None, threads: int = 1,
    progress: Progress = lambda numbers, update, elapsed, seconds: None, warn: Warn = lambda text: None,
) -> Checkpoint:
    """Train until the updates are done or the time is over; a checkpoint is written after every segment.

    Args:
        folder: of the run.
        hand: the hand.
        settings: numbers of the run; with ``resume`` only :data:`MAY_CHANGE` may differ from those of the checkpoint.
        minutes: wall-clock limit of the whole run, earlier sittings included.
        resume: go on from the checkpoint in ``folder``, or start if there is none.
        task: what to learn; None: :func:`make_task`.
        threads: physics threads; the result does not depend on it.
        progress: called after each update with its numbers, its number, seconds so far and seconds by part.
        warn: called once per kind of trouble with a sentence.

    Raises:
        ConfigError: another run lies in ``folder``, or the checkpoint belongs to other settings.
    """
    start = time.monotonic()
    found = _earlier(folder, hand, settings, resume)
    curve = list(found.curve) if found else []
    spent = found.wall_s if found else 0.0
    learner = Learner(task or make_task(hand, settings, threads), hand, settings)
    said: set[str] = set()
    baseline = curve[0].get('teacher') if curve else None
    version = getattr(learner.task, 'version', VERSION)

    def elapsed() -> float:
        return spent + time.monotonic() - start

    def checkpoint(stopped: str = '') -> Checkpoint:
        steps = learner.updates * settings.horizon * settings.environments
        return Checkpoint(settings, version, hand.name, hand_fingerprint(hand), learner.updates, steps, elapsed(),
                          learner.layout.terms, curve, learner.state(), stopped)

    try:
        if found:
            learner.restore(found.tensors, found.updates)
        else:
            learner.begin(warm=True)
            baseline = warm_start(learner, make_teacher(hand, settings.teacher))
        last, longest, stopped, fresh = found or checkpoint(), 0.0, '', True
        while learner.updates < settings.updates and not stopped:
            if fresh or learner.updates % settings.segment == 0:
                learner.begin()
                fresh = False
            began = time.monotonic()
            numbers = learner.update()
            if not curve and baseline is not None:
                numbers['teacher'] = baseline
            curve.append(numbers)
            progress(numbers, learner.updates, elapsed(), learner.seconds)
            troubles = diagnose(curve, settings.updates, settings.target_kl, baseline)
            for kind in troubles.keys() - said:
                said.add(kind)
                warn(troubles[kind])
            if 'nan' in troubles:
                return replace(last, stopped='not finite')
            longest = max(longest, time.monotonic() - began)
            if elapsed() + 2.0 * longest > 60.0 * minutes:
                stopped = f'the limit of {minutes:g} minutes'
            if stopped or learner.updates % settings.segment == 0 or learner.updates == settings.updates:
                last = checkpoint(stopped)
                last.save(folder)
                write_curves(folder, run_name(settings), curve, _facts(last, learner))
        return last
    finally:
        learner.close()


def _earlier(folder: Path, hand: HandModel, settings: Settings, resume: bool) -> Checkpoint | None:
    if not (folder / FILE).exists():
        return None
    if not resume:
        raise ConfigError(f'{folder} holds a training run already; go on with --resume or choose another --output')
    found = load_checkpoint(folder, hand)
    mine, theirs = asdict(settings), asdict(found.settings)
    other = [k for k in mine if k not in MAY_CHANGE and mine[k] != theirs[k]]
    if other:
        raise ConfigError(f'the run in {folder} was started with {other[0]} {theirs[other[0]]!r}, not '
                          f'{mine[other[0]]!r}; resume it with its own settings or choose another --output')
    return found


def _facts(last: Checkpoint, learner: Learner) -> dict[str, Any]:
    total = sum(learner.seconds.values())
    return {'settings': asdict(last.settings), 'updates': last.updates, 'control_steps': last.steps,
            'wall_s': round(last.wall_s, 1), 'stopped': last.stopped, 'task': last.task,
            'seconds': {k: round(v, 2) for k, v in learner.seconds.items()},
            'share': {k: round(v / total, 3) if math.isfinite(total) and total else 0.0
                      for k, v in learner.seconds.items()}}
