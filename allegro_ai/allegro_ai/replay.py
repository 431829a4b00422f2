"""``~/policy_state``: everything that went into a policy and came out of it, step by step, and running it again.

A recording of that topic is enough to compute every action once more, offline and with another backend. If the actions
differ, the node fed the policy with something else than it says: another order, another history, a step of skew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from allegro_description.errors import ConfigError
from numpy.typing import NDArray

from allegro_ai.bundle import Bundle
from allegro_ai.grasp_loop import MS, Tick
from allegro_ai.observation import Observation, element_names, terms
from allegro_ai.policy import Policy

Float = NDArray[np.float64]

SLIP = 'slip_probability'
FACTS = ('run/number', 'run/latency_ms', 'run/ood_score')
"""Inference number since RUN began (0: history and state were empty), its duration, distance from the training data."""


def state_names(bundle: Bundle) -> list[str]:
    """Name of each number: ``term/element``, ``action/joint``, ``target/joint``, :data:`FACTS`, ``output/element``."""
    joints = bundle.model.joint_names
    extras = [f'{e["name"]}/{element}' for e in bundle.contract.get('extra_outputs', ()) for element in e['elements']]
    return [*element_names(bundle.model, bundle.inputs), *(f'action/{n}' for n in joints),
            *(f'target/{n}' for n in joints), *FACTS, *extras]


def state_values(bundle: Bundle, tick: Tick, target: Float) -> Float:
    """The numbers of one inference, in the order of :func:`state_names`; an output that is out of bounds is NaN.

    Args:
        bundle: the policy.
        tick: a tick with observation and action.
        target: the resulting target, rad, (n_joints,).
    """
    assert tick.observation is not None
    assert tick.action is not None
    seen = [tick.observation[name][0] for name in bundle.inputs]
    facts = [tick.number, (tick.finished_ns - tick.started_ns) / MS, tick.score]
    extras = [tick.extra.get(e['name'], np.full(len(e['elements']), np.nan))
              for e in bundle.contract.get('extra_outputs', ())]
    return np.concatenate([*seen, tick.action, target, facts, *extras]).astype(np.float64)


@dataclass(frozen=True)
class Step:
    """One recorded inference.

    Attributes:
        stamp_ns: stamp of the joint state that it is based on.
        number: since RUN began.
        observation: what the policy saw, each term (1, elements).
        action: what it answered, (n_joints,).
        target: what followed from it, rad, (n_joints,).
    """

    stamp_ns: int
    number: int
    observation: Observation
    action: Float
    target: Float


def read_step(bundle: Bundle, stamp_ns: int, names: Sequence[str], values: Sequence[float]) -> Step:
    """One message of ``~/policy_state``.

    Raises:
        ConfigError: it was recorded with another policy.
    """
    wanted = state_names(bundle)
    if list(names) != wanted or len(values) != len(wanted):
        odd = sorted(set(wanted) ^ set(names))[:3]
        raise ConfigError(f'policy_state does not belong to {bundle.name} (e.g. {", ".join(odd) or "another order"}); '
                          'replay it with the bundle that was running')
    array = np.array(values, dtype=np.float64)
    table, observation, place = terms(bundle.model), {}, 0
    for name in bundle.inputs:
        size = len(table[name].elements)
        observation[name] = array[None, place:place + size].astype(np.float32)
        place += size
    joints = len(bundle.model.joints)
    action, target = array[place:place + joints], array[place + joints:place + 2 * joints]
    return Step(stamp_ns, int(array[place + 2 * joints]), observation, action, target)


def replay(policy: Policy, steps: Iterable[Step]) -> Float:
    """Run the policy over recorded observations and return the difference of each action, (steps,).

    The policy begins anew where the recording says that it did. The first steps of a recording that began in the
    middle of a grasp are answered from an empty history and may differ.
    """
    worst = []
    for step in steps:
        if step.number == 0:
            policy.reset()
        worst.append(float(np.abs(policy.act(step.observation)[0] - step.action).max()))
    return np.array(worst)


def skew(bundle: Bundle, steps: Sequence[Step], positions: Mapping[int, Float]) -> Float:
    """How far the target that each observation shows is from the one before it, rad, (steps - 1,); 0: well paired.

    Args:
        bundle: a policy that sees ``joint_target`` or ``joint_target_error``.
        steps: consecutive inferences of one run.
        positions: measured joint angles by stamp, rad, (n_joints,), as recorded on ``joint_states``.

    Raises:
        ConfigError: the policy sees neither term, or a joint state is missing.
    """
    if not {'joint_target', 'joint_target_error'} & set(bundle.inputs):
        raise ConfigError(f'{bundle.name} sees no target, so its pairing cannot be seen in a recording')
    errors = []
    for before, step in pairwise(steps):
        if step.stamp_ns not in positions:
            raise ConfigError(f'no joint state of {step.stamp_ns} ns was recorded; record joint_states too')
        seen = step.observation['joint_target'][0] if 'joint_target' in step.observation else \
            step.observation['joint_target_error'][0] + positions[step.stamp_ns]
        errors.append(float(np.abs(seen - before.target).max()))
    return np.array(errors)
