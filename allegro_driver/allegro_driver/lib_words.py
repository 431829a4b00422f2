"""Words of the vendor's topic ``lib_cmd``, and what they ask of our driver. Pure but for reading a pose file."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml
from allegro_description.errors import CommandRefused
from allegro_description.state import Array

from allegro_driver.dialect import Dialect

OFF, CALIBRATION, FOLLOW = 'off', 'calibration', 'pdControl'
MODES = {'hinf_on': 'onboard', 'hinf_off': 'host'}
"""Word to the driver's parameter ``control_mode``."""
WORDS = {
    'v5_sense': {'home', 'grasp_3', 'grasp_4', 'pinch_it', 'pinch_mt', 'envelop', 'off', 'gravcomp', 'hinf_on',
                 'hinf_off'},
    'v5_a': {'home', 'grasp_3', 'grasp_4', 'pinch_it', 'pinch_mt', 'envelop', 'off', 'gravcomp'},
    'v5_b': {'home', 'grasp_3', 'grasp_4', 'pinch_it', 'pinch_mt', 'envelop', 'off', 'gravcomp'},
    'v5_3f': {'home', 'sphere', 'grasp_3', 'envelop', 'off', 'gravcomp'},
    'v4': {'home', 'ready', 'grasp_3', 'grasp_4', 'pinch_it', 'pinch_mt', 'envelop', 'off', 'gravcomp'},
}
"""Words that the vendor's driver of a model obeys."""
REFUSED_TOPICS = {
    'gain_cmd': 'gains belong to the hand description of this suite; a softer hand: ros2 param set {driver} '
                'torque_scale 0.5',
    'time_chg': 'motions take the time their speed needs: ros2 param set {driver} motion_speed 1.0',
    'force_chg': 'its unit is documented nowhere; a weaker grip: ros2 param set {driver} torque_scale 0.5',
    'envelop_torque': 'its unit is documented nowhere; a weaker grip: ros2 param set {driver} torque_scale 0.5',
    'gff_rpy': 'its order of rotations is documented nowhere; send gravity as a vector in the palm frame on the topic '
               'gravity, or as the parameter gravity of {driver}',
}
"""Topics of the vendor that are heard and refused, with the reason and what to do instead."""

_STEM = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,63}')
_LARGEST_FILE = 65536


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """What a word asks for; exactly one is set, or none where nothing needs doing.

    Attributes:
        motion: a named motion of the driver.
        off: torque off.
        mode: value for the driver's parameter ``control_mode``.
        position: joint targets, rad, (n_joints,), canonical.
    """

    motion: str = ''
    off: bool = False
    mode: str = ''
    position: Array | None = None


def wish(word: str, motions: Collection[str], dialect: Dialect, pose_dir: str) -> Wish:
    """What a word asks for.

    Args:
        word: as it was sent.
        motions: named motions that the driver knows for this hand.
        dialect: for the order of pose files.
        pose_dir: folder of pose files, '' where none may be named.

    Raises:
        CommandRefused: unknown, or not done over a topic; one sentence with what to do.
    """
    if word == OFF:
        return Wish(off=True)
    if word in MODES:
        return Wish(mode=MODES[word])
    if word == FOLLOW:
        return Wish()  # joint_cmd is always followed
    if word == CALIBRATION:
        raise CommandRefused(
            'calibration is not done over a topic, because it cannot be undone: run `allegro-hand calibrate ADDRESS` '
            'beside the hand, which measures the zeros and writes a file; with --firmware it is what this word does')
    if word in motions:
        return Wish(motion=word)
    if pose_dir and _STEM.fullmatch(word) and (path := Path(pose_dir).expanduser() / f'{word}.yaml').is_file():
        return Wish(position=read_pose(path, dialect))
    where = f' and no file {word}.yaml in {pose_dir}' if pose_dir else ''
    remedy = '' if pose_dir else '; pose files may be named once the parameter pose_dir says where they are'
    raise CommandRefused(
        f'{word[:64]!r} is no motion of this hand{where}; known: {", ".join(sorted(motions))}, {OFF}, '
        f'{", ".join(MODES)}{remedy}')


def read_pose(path: Path, dialect: Dialect) -> Array:
    """Targets of a pose file, rad, (n_joints,), canonical.

    Raises:
        CommandRefused: it cannot be read, or holds anything but one finite number per joint under ``position``.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CommandRefused(f'pose file {path} is larger than {_LARGEST_FILE} bytes')
        document = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, CommandRefused):
            raise
        raise CommandRefused(f'pose file {path} cannot be read: {" ".join(str(error).split())}') from error
    values = document.get('position') if isinstance(document, dict) else None
    if not isinstance(values, list) or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e6 for v in values):
        raise CommandRefused(f'pose file {path} has no list of numbers under the key position')
    names = document.get('name')
    given = [str(name) for name in names] if isinstance(names, list) else list(dialect.names)
    return dialect.canonical(given, values, f'pose file {path}')
