"""Creep of a firmly held object that nothing disturbs: ``python -m allegro_description.simulation.creep``.

Soft contacts slide slowly under a steady load although friction would hold it: an artefact of the solver that a policy
must not learn to fight. Each object is closed upon, squeezed, and the palm is tilted so that gravity pulls it out of
the grip; once it has settled, nothing moves any more but the creep.

Measured with 10 objects of the set train over 6 s: median 5.7 mm/min, at most 16 (0.4 and 1.2 mm within the time of an
episode's disturbances). With MuJoCo's ``impratio`` at 10 instead of 100 it was 26 and 48 mm/min, at the same cost.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import HandModel, load_hand
from allegro_description.simulation.episode import DISTURB_S, Episode
from allegro_description.simulation.object_sets import sample_object
from allegro_description.simulation.objects import ObjectSpec, object_rng
from allegro_description.simulation.plant import Plant
from allegro_description.simulation.score import rotated

PERIOD_S, SUBSTEPS = 0.020, 5
CLOSE_S, SETTLE_S = 1.0, 3.0
CLOSE_NM, SQUEEZE_NM, TARGET_RATE = 0.12, 0.15, 2.0     # N·m, N·m, rad/s
MASS_KG, FRICTION = 0.10, 0.8       # firmly held: far from what the grip could carry


@dataclass(frozen=True, slots=True)
class Creep:
    """Motion of one object relative to the palm between the settling and the end.

    Attributes:
        shape: its name. seed: of the episode that placed it.
        way_mm: of its mass centre, mm. rate_mm_min: the same per minute.
        turn_deg: of the body, degrees.
        held: still in the hand at the end.
    """

    shape: str
    seed: int
    way_mm: float
    rate_mm_min: float
    turn_deg: float
    held: bool


def creep(hand: HandModel, seed: int, seconds: float, object_set: str = 'train') -> Creep:
    """Hold the object of an episode without disturbances for ``seconds`` after it has settled.

    Raises:
        ConfigError: a time that is not positive.
        UnknownName: no such object set.
    """
    if not seconds > 0.0:
        raise ConfigError(f'seconds is {seconds}; must be above 0')
    drawn = sample_object(object_rng(seed, object_set, 0), object_set)
    obj = ObjectSpec(drawn.shape, drawn.size, MASS_KG, FRICTION, drawn.com, drawn.rgba, drawn.parts, drawn.scale)
    episode = Episode(hand, seed, 'L0', object_set, obj=obj)
    plant = Plant(hand, obj, timestep=PERIOD_S / SUBSTEPS, actuation='position')
    episode.reset(plant)
    target, posture = plant.position, plant.position
    reach = TARGET_RATE * PERIOD_S
    first: tuple[np.ndarray, np.ndarray] | None = None
    for step in range(round((SETTLE_S + seconds) / PERIOD_S)):
        t = step * PERIOD_S
        closing = t < CLOSE_S
        posture = plant.position if closing else posture
        squeeze = np.minimum(CLOSE_NM if closing else SQUEEZE_NM, hand.torque_limit) / hand.kp
        aim = np.where(hand.flexion, posture + squeeze, episode.start)
        target = np.clip(target + np.clip(aim - target, -reach, reach), hand.lower, hand.upper)
        plant.set_target(target)
        episode.apply(min(t, DISTURB_S), plant)
        plant.hold_object(episode.hold(t))
        plant.advance(SUBSTEPS)
        if first is None and t >= SETTLE_S:
            first = _pose(plant, obj)
    last = _pose(plant, obj)
    assert first is not None
    way = 1e3 * float(np.linalg.norm(last[0] - first[0]))
    turn = float(np.degrees(2.0 * np.arccos(min(1.0, abs(float(first[1] @ last[1]))))))
    return Creep(obj.shape, seed, way, way * 60.0 / seconds, turn, bool(plant.tip_forces.max() > 0.05 or way < 30.0))


def _pose(plant: Plant, obj: ObjectSpec) -> tuple[np.ndarray, np.ndarray]:
    pose = plant.object_pose
    assert pose is not None
    return pose[0] + rotated(pose[1][None], np.array([obj.com]))[0], pose[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: one line per object, or JSON."""
    parser = argparse.ArgumentParser(prog='python -m allegro_description.simulation.creep', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, default=12, help='objects 0 … N-1 of the set (default 12)')
    parser.add_argument('--seconds', type=float, default=20.0, help='simulated time after settling (default 20)')
    parser.add_argument('--object-set', default='train', help='where objects come from (default train)')
    parser.add_argument('--json', action='store_true', help='print one JSON document')
    args = parser.parse_args(arguments)
    try:
        rows = [creep(load_hand(), seed, args.seconds, args.object_set) for seed in range(args.seeds)]
    except AllegroError as error:
        print(f'creep: {error}', file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    for row in rows:
        print(f'{row.seed:3} {row.shape:16} {row.way_mm:7.3f} mm {row.rate_mm_min:8.3f} mm/min {row.turn_deg:7.3f} deg'
              f'{"" if row.held else "  lost"}')
    ways = np.array([row.rate_mm_min for row in rows])
    print(f'median {np.median(ways):.3f} mm/min, largest {ways.max():.3f} mm/min, {len(rows)} objects')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
