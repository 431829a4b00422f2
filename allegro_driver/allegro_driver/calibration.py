"""Calibration of one hand, by its serial number: sign and zero of every encoder, and limits tighter than the model's.

Zeros live in the hand's firmware and can be far off (one V5 was found 1.47 rad out at a thumb joint). A file repairs
that on the host, without the firmware's own calibration, which cannot be undone. For every joint::

    angle = sign * encoder + offset          speed, torque and current change sign with it

``allegro-hand calibrate`` writes the files; :mod:`allegro_driver.hardware.calibrated` applies them.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import re
import tempfile
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel, Joint
from allegro_description.state import Array, frozen

VERSION = 1
OFFSET_LIMIT_RAD = 4.0
"""Half a turn, as a thumb mounted the other way round needs, and a factory zero that is far off; more is a mistake."""
NARROWEST_RAD = 0.05
"""A joint with less travel than this is of no use; such a limit is a mistake."""

_SERIAL = re.compile(r'[A-Za-z0-9][A-Za-z0-9_-]{0,31}')
_KEYS = {'version', 'serial', 'model', 'date', 'joints'}
_HEAD = """\
# Calibration of one hand, written by `allegro-hand calibrate`: angle = sign * encoder + offset, rad.
# A joint may carry `limit: [lower, upper]`, rad, within the limits of the model.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How the encoders of one hand become joint angles.

    Attributes:
        serial: the hand it belongs to.
        model: name of its description, e.g. ``v5_sense_right``.
        date: when it was made, ISO 8601.
        sign: +1 or -1, (n_joints,).
        offset: rad, (n_joints,).
        lower, upper: limits to enforce, rad, (n_joints,); those of the model where the file has none.
    """

    serial: str
    model: str
    date: str
    sign: Array
    offset: Array
    lower: Array
    upper: Array

    def angles(self, encoders: Array) -> Array:
        """Joint angles, rad, of what the encoders read, rad, (n_joints,)."""
        return self.sign * encoders + self.offset

    def encoders(self, angles: Array) -> Array:
        """What the encoders read at these joint angles, rad, (n_joints,)."""
        return self.sign * (angles - self.offset)

    def tightens(self, model: HandModel) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which joints have a limit narrower than the model's, (n_joints,) bool."""
        return (self.lower > model.lower) | (self.upper < model.upper)


def plain_calibration(model: HandModel, serial: str) -> Calibration:
    """The calibration that changes nothing, dated now."""
    count = len(model.joints)
    now = datetime.datetime.now().astimezone().isoformat(timespec='seconds')
    return Calibration(
        serial, model.name, now, frozen(np.ones(count)), frozen(np.zeros(count)), model.lower, model.upper)


def tightened(model: HandModel, calibration: Calibration) -> HandModel:
    """The hand with the calibration's limits; its poses are moved to within them."""
    limits = zip(model.joints, calibration.lower, calibration.upper, strict=True)
    joints: list[Joint] = [
        dataclasses.replace(joint, lower=float(lower), upper=float(upper)) for joint, lower, upper in limits]
    poses = {name: frozen(np.clip(pose, calibration.lower, calibration.upper)) for name, pose in model.poses.items()}
    return dataclasses.replace(model, joints=tuple(joints), poses=poses)


# Files ----------------------------------------------------------------------------------------------------------------


def calibration_folder(given: str = '') -> Path:
    """The folder of calibration files: the given one, else ``allegro/calibration`` in the user's configuration."""
    if given:
        return Path(given).expanduser()
    base = os.environ.get('XDG_CONFIG_HOME', '')
    return (Path(base) if os.path.isabs(base) else Path.home() / '.config') / 'allegro' / 'calibration'


def calibration_path(folder: Path, serial: str) -> Path:
    """The file of a hand.

    Raises:
        ConfigError: the hand has no serial number, or one that no file should be called after (it comes from the wire).
    """
    if not _SERIAL.fullmatch(serial):
        raise ConfigError(
            f'a hand with serial number {serial!r} cannot have a calibration file; it takes letters, digits, - and _')
    return folder / f'{serial}.yaml'


def load_calibration(folder: Path, model: HandModel, serial: str) -> Calibration | None:
    """The calibration of a hand, or None where there is no file.

    Raises:
        ConfigError: the file cannot be read, is damaged, or belongs to another hand.
    """
    try:
        path = calibration_path(folder, serial)
    except ConfigError:
        return None
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'cannot read the calibration file {path}: {error}') from error
    return parse_calibration(text, model, serial, str(path))


def save_calibration(folder: Path, calibration: Calibration, model: HandModel) -> tuple[Path, Path | None]:
    """Write a file in one step and keep the older one beside it.

    Returns:
        The file and the backup of its predecessor, None where there was none.

    Raises:
        ConfigError: it cannot be written, or its content is not allowed; then nothing has changed.
    """
    path = calibration_path(folder, calibration.serial)
    text = calibration_text(calibration, model)
    parse_calibration(text, model, calibration.serial, str(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile('w', encoding='utf-8', dir=folder, prefix='.', delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                backup = _back_up(path)
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ConfigError(f'cannot write the calibration file {path}: {error}') from error
    return path, backup


def _back_up(path: Path) -> Path | None:
    if not path.exists():
        return None
    stem = datetime.datetime.fromtimestamp(path.stat().st_mtime).strftime('%Y%m%d-%H%M%S')
    for number in range(1000):
        backup = path.with_name(f'{path.stem}.{stem}{f"-{number}" if number else ""}.old')
        try:
            with backup.open('xb') as file:
                file.write(path.read_bytes())
        except FileExistsError:
            continue
        return backup
    raise FileExistsError(f'1000 backups of {path} exist')


# Text -----------------------------------------------------------------------------------------------------------------


def calibration_text(calibration: Calibration, model: HandModel) -> str:
    """The content of a file."""
    rows = {}
    tight = calibration.tightens(model)
    for k, joint in enumerate(model.joints):
        row: dict[str, Any] = {'sign': int(calibration.sign[k]), 'offset': round(float(calibration.offset[k]), 6)}
        if tight[k]:
            row['limit'] = [round(float(calibration.lower[k]), 6), round(float(calibration.upper[k]), 6)]
        rows[joint.name] = row
    head = yaml.safe_dump(
        {'version': VERSION, 'serial': calibration.serial, 'model': calibration.model, 'date': calibration.date},
        sort_keys=False)
    flow = (f'  {name}: {yaml.safe_dump(row, sort_keys=False, default_flow_style=True, width=200)}'
            for name, row in rows.items())
    return f'{_HEAD}{head}joints:\n{"".join(flow)}'


def parse_calibration(text: str, model: HandModel, serial: str, where: str) -> Calibration:
    """Read the content of a file.

    Args:
        text: YAML.
        model: the hand it must belong to.
        serial: its serial number.
        where: file name for messages.

    Raises:
        ConfigError: anything missing, unknown, not finite, implausible, or of another hand; the message says where.
    """
    try:
        document = yaml.load(text, _Strict)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f'calibration file {where} is no YAML: {" ".join(str(error).split())}') from error
    top = _mapping(document, _KEYS, _KEYS, where, 'the file')
    if top['version'] is True or top['version'] != VERSION:
        raise ConfigError(f'calibration file {where} has version {top["version"]!r}; this suite reads {VERSION}')
    for key, wanted in (('serial', serial), ('model', model.name)):
        if str(top[key]) != wanted:
            raise ConfigError(
                f'calibration file {where} is for {key} {top[key]!r}, but the hand is {wanted}; '
                'move the file away and calibrate this hand with `allegro-hand calibrate`')
    date = str(top['date'])
    try:
        datetime.datetime.fromisoformat(date)
    except ValueError:
        raise ConfigError(f'calibration file {where} has date {date!r}; write it as 2026-01-31T12:00:00') from None
    rows = _mapping(top['joints'], set(model.joint_names), set(model.joint_names), where, 'joints')
    read = [_joint(rows[joint.name], joint, where) for joint in model.joints]
    sign, offset, lower, upper = (frozen(column) for column in zip(*read, strict=True))
    return Calibration(serial, model.name, date, sign, offset, lower, upper)


def _joint(value: Any, joint: Joint, where: str) -> tuple[float, float, float, float]:
    row = _mapping(value, {'sign', 'offset', 'limit'}, {'sign', 'offset'}, where, joint.name)
    sign, offset = row['sign'], row['offset']
    if isinstance(sign, bool) or sign not in (1, -1):
        raise ConfigError(f'calibration file {where}: {joint.name} has sign {sign!r}; allowed: 1, -1')
    if not _finite(offset) or abs(offset) > OFFSET_LIMIT_RAD:
        raise ConfigError(
            f'calibration file {where}: {joint.name} has offset {offset!r}; allowed: -{OFFSET_LIMIT_RAD} … '
            f'{OFFSET_LIMIT_RAD} rad')
    limit = row.get('limit', [joint.lower, joint.upper])
    if not (isinstance(limit, list) and len(limit) == 2 and all(_finite(v) for v in limit)
            and joint.lower - 1e-6 <= limit[0] and limit[1] <= joint.upper + 1e-6
            and limit[1] - limit[0] >= NARROWEST_RAD):
        raise ConfigError(
            f'calibration file {where}: {joint.name} has limit {limit!r}; allowed: two angles at least {NARROWEST_RAD} '
            f"rad apart within the model's {joint.lower} … {joint.upper} rad")
    return float(sign), float(offset), max(float(limit[0]), joint.lower), min(float(limit[1]), joint.upper)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _mapping(value: Any, known: set[str], needed: set[str], where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f'calibration file {where}: {what} must be a table of {", ".join(sorted(known))}')
    unknown, missing = sorted(str(k) for k in value if k not in known), sorted(needed - value.keys())
    if unknown or missing:
        raise ConfigError(
            f'calibration file {where}: {what} has unknown entries {unknown or "none"} and lacks {missing or "none"}')
    return value


class _Strict(yaml.SafeLoader):
    """A joint that is written twice is a mistake, not an override."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f'written twice: {", ".join(twice)}', node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping
