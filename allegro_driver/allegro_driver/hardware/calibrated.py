"""A hand seen through its calibration file: encoders to joint angles on the way in, and back on the way out.

The file belongs to a serial number, so it is looked up when the hand has said who it is. Without a file everything
passes through untouched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import LinkTimeout
from allegro_description.model import HandModel
from allegro_description.state import Array, HandState
from numpy.typing import NDArray

from allegro_driver.calibration import Calibration, load_calibration, tightened
from allegro_driver.control.limits import Limits
from allegro_driver.hardware.base import Alarm, Hardware, Identity

TOLERANCE_RAD = 0.1
"""A reading this far outside the joint range says that a zero is wrong; joints give a little at their ends."""
_LOOK_PERIODS = 20


def outside_range(model: HandModel, position: Array, tolerance_rad: float = TOLERANCE_RAD) -> list[str]:
    """One text per joint that reads outside its range by more than the tolerance, for people."""
    return [
        f'{joint.name} reads {angle:.2f} rad, range {joint.lower} … {joint.upper}'
        for joint, angle in zip(model.joints, position, strict=True)
        if not joint.lower - tolerance_rad <= angle <= joint.upper + tolerance_rad
    ]


class CalibratedHardware:
    """Implements :class:`allegro_driver.hardware.base.Hardware` around another one."""

    def __init__(self, inner: Hardware, model: HandModel, folder: Path) -> None:
        """Wrap a hand; nothing is opened yet.

        Args:
            inner: the hand as its encoders see it.
            model: its description.
            folder: where calibration files are.
        """
        self.inner = inner
        self.period_s = inner.period_s
        self.skipped = inner.skipped
        self._model, self._folder = model, folder
        self._identity = Identity()
        self._known = False
        self._calibration: Calibration | None = None
        self._tight: NDArray[np.bool_] | None = None
        self._limits = Limits(model)
        self._position: Array = np.zeros(len(model.joints))
        self.model = model

    @property
    def identity(self) -> Identity:
        """Who answered at the last :meth:`open`, with what the calibration has to say."""
        return self._identity

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use; None without one, and before :meth:`open`."""
        return self._calibration

    @property
    def onboard_position(self) -> bool:
        """Whether the hand has a position loop of its own."""
        return self.inner.onboard_position

    @property
    def settle_s(self) -> float:
        """How long that loop needs before the first target, s."""
        return self.inner.settle_s

    def open(self) -> Identity:
        """Open the hand and find its calibration; :attr:`model` has its limits from then on.

        Raises:
            LinkError, LinkTimeout, IdentityError: as the hand itself.
            ConfigError: its calibration file is damaged or belongs to another hand. The hand is closed again.
        """
        identity = self.inner.open()
        if self._known:
            return self._identity
        try:
            self._use(load_calibration(self._folder, self._model, identity.serial))
            self._identity = self._described(identity)
            self._known = True
        except BaseException:
            self.inner.close()
            raise
        return self._identity

    def read(self, timeout_s: float) -> HandState:
        """As the hand's, in joint angles.

        Raises:
            LinkTimeout, LinkError: as the hand itself.
        """
        state = self.inner.read(timeout_s)
        self.skipped = self.inner.skipped
        calibration = self._calibration
        if calibration is None:
            return state
        self._position = calibration.angles(state.position)
        return dataclasses.replace(
            state, position=self._position, velocity=calibration.sign * state.velocity,
            current_ma=None if state.current_ma is None else calibration.sign * state.current_ma)

    def write(self, effort: Array) -> None:
        """As the hand's; torques that push beyond a tightened limit fade out before it.

        Raises:
            LinkError: as the hand itself.
        """
        calibration = self._calibration
        if calibration is None:
            self.inner.write(effort)
            return
        if self._tight is not None:
            effort = np.where(self._tight, self._limits.taper(effort, self._position), effort)
        self.inner.write(calibration.sign * effort)

    def position_mode(self, on: bool) -> None:
        """As the hand's.

        Raises:
            LinkError, CommandRefused: as the hand itself.
        """
        self.inner.position_mode(on)

    def write_targets(self, position: Array) -> None:
        """As the hand's, from joint angles; tightened limits are kept.

        Raises:
            LinkError, CommandRefused: as the hand itself.
        """
        calibration = self._calibration
        if calibration is not None:
            if self._tight is not None:
                position = np.where(self._tight, self._limits.position(position), position)
            position = calibration.encoders(position)
        self.inner.write_targets(position)

    def enable(self, on: bool) -> None:
        """As the hand's.

        Raises:
            LinkError: as the hand itself.
        """
        self.inner.enable(on)

    def halt(self) -> None:
        """As the hand's."""
        self.inner.halt()

    def take_alarms(self) -> tuple[Alarm, ...]:
        """Alarms since the last call."""
        return self.inner.take_alarms()

    def counts(self) -> Mapping[str, int]:
        """Counters for diagnostics."""
        return self.inner.counts()

    def close(self) -> None:
        """As the hand's; the next hand may be another one."""
        self.inner.close()
        self._known = False

    def __getattr__(self, name: str) -> Any:
        # What only some hardware has, such as the link of a bus.
        return getattr(object.__getattribute__(self, 'inner'), name)

    def _use(self, calibration: Calibration | None) -> None:
        self._calibration = calibration
        self.model = self._model if calibration is None else tightened(self._model, calibration)
        self._limits = Limits(self.model)
        tight = None if calibration is None else calibration.tightens(self._model)
        self._tight = tight if tight is not None and tight.any() else None

    def _described(self, identity: Identity) -> Identity:
        calibration, warnings = self._calibration, identity.warnings
        wrong: list[str] = []
        with suppress(LinkTimeout):  # the control loop will notice that itself
            wrong = outside_range(self._model, self.read(_LOOK_PERIODS * self.period_s).position)
        if wrong:
            because = 'no calibration file' if calibration is None else f'its calibration ({calibration.date}) is wrong'
            warnings += (
                f'{"; ".join(wrong)}: {because}; measure its zeros with `allegro-hand calibrate` before you enable it',)
        version = identity.version
        if calibration is not None:
            version += f'{", " if version else ""}calibrated {calibration.date}'
        return dataclasses.replace(identity, version=version, warnings=warnings)
