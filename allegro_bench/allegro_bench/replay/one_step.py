"""Metric group 9, optional: one control step of the simulated hand from each recorded state, against the next one.

A statement about the simulator, not about the policy. Only where no cell is pressed: the recording does not say what
the hand holds, so in contact the model would lack the object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from allegro_ai.bundle import Bundle
from allegro_description.errors import AllegroError, MissingDependency

from allegro_bench.replay.inputs import Inputs, Mask
from allegro_bench.replay.plan import Index, Plan
from allegro_bench.replay.segments import mean, shown

STEPS = 5
"""Physics steps per control step."""

MOST_TICKS = 2000
PRESSED_PA = 500.0


def describe(inputs: Inputs, plan: Plan, bundle: Bundle) -> dict[str, Any]:
    """The section ``model_check`` of the document."""
    try:
        from allegro_description.simulation.plant import Plant
    except ImportError as error:
        raise MissingDependency('the one-step model check needs MuJoCo: pip install mujoco') from error
    ticks = _free(inputs, plan)
    if not plan.recorded_ticks or not len(ticks):
        return {'checked': False, 'reason': 'no two neighbouring control steps with a known target and no touch'}
    period = bundle.period_s
    plant = Plant(inputs.model, timestep=period / STEPS, actuation='position')
    position = inputs.joints.values[plan.joint]
    stamp = inputs.joints.stamp_ns[plan.joint]
    residual, still, used = [], [], []
    for tick in ticks[np.unique(np.linspace(0, len(ticks) - 1, min(len(ticks), MOST_TICKS)).astype(int))]:
        lasted = (stamp[tick + 1] - stamp[tick]) * 1e-9
        before = (stamp[tick] - stamp[tick - 1]) * 1e-9
        plant.reset(position[tick], velocity=(position[tick] - position[tick - 1]) / before)
        # The old target holds until the new one, computed from this very state, is sent.
        sent = min(max((plan.now_ns[tick] - stamp[tick]) * 1e-9, 0.0), lasted)
        try:
            for moment in range(max(1, round(lasted / plant.timestep))):
                late = moment * plant.timestep >= sent
                plant.set_target(plan.answer[tick] if late else plan.previous[tick])
                plant.advance()
        except AllegroError:
            continue
        residual.append(plant.data.qpos[plant.addresses.position] - position[tick + 1])
        still.append(position[tick] - position[tick + 1])
        used.append(tick)
    if not used:
        return {'checked': False, 'reason': 'the simulation became unstable from every recorded state'}
    off, moved = np.abs(np.array(residual)), np.abs(np.array(still))
    run = np.cumsum(np.concatenate([[0], np.diff(used) > 1])).astype(np.intp)
    return {
        'checked': True, 'ticks': len(used), 'assumes': 'palm up, nothing in the hand, the gains of the description',
        'mae_rad': shown(mean(off.mean(axis=1), run)), 'standing_still_rad': shown(mean(moved.mean(axis=1), run)),
        'joints': [{'joint': name, 'median_rad': float(np.median(off[:, i])), 'greatest_rad': float(off[:, i].max()),
                    'moved_median_rad': float(np.median(moved[:, i]))}
                   for i, name in enumerate(inputs.model.joint_names)],
    }


def _free(inputs: Inputs, plan: Plan) -> Index:
    """Ticks with neighbours on both sides, known targets, and no cell pressed before or after."""
    if len(plan) < 3:
        return np.zeros(0, dtype=np.intp)
    before: Mask = np.asarray(np.isfinite(plan.previous).all(axis=1))
    after: Mask = np.asarray(np.isfinite(plan.answer).all(axis=1))
    pressed: Mask = np.zeros(len(plan), dtype=bool)
    if inputs.touch is not None:
        felt = np.where(inputs.touch.valid, inputs.touch.values, 0.0).max(axis=1)
        pressed = np.asarray((plan.touch >= 0) & (felt[np.maximum(plan.touch, 0)] > PRESSED_PA))
    free = before[1:-1] & after[1:-1] & before[2:] & ~pressed[1:-1] & ~pressed[2:] & ~pressed[:-2]
    later = np.diff(inputs.joints.stamp_ns[plan.joint])
    return np.flatnonzero(free & (later[:-1] > 0) & (later[1:] > 0)) + 1
