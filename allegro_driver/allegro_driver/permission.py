"""What must be true before a hand may have torque, or a control mode: refused with what to do about it."""

from __future__ import annotations

from allegro_description.errors import CommandRefused, ConfigError
from allegro_description.model import HandModel

from allegro_driver.config import ControlConfig
from allegro_driver.hardware.base import Hardware, Identity


def check_mode(hardware: Hardware, model: HandModel, config: ControlConfig) -> None:
    """Refuse a control mode that this hand does not have, or a limit that the mode cannot keep.

    Raises:
        ConfigError: says which parameter to change.
    """
    if config.control_mode != 'onboard':
        return
    if not hardware.onboard_position:
        raise ConfigError(f'{model.name} has no position loop of its own; set control_mode to host')
    if config.current_budget_ma:
        raise ConfigError(
            "current_budget_ma cannot be kept while the hand's own position loop decides its currents; set it to 0, or "
            'control_mode to host')


def check_torque(identity: Identity, model: HandModel, config: ControlConfig) -> None:
    """Refuse torque for a hand whose side is unknown, or about which nobody has confirmed what no source settles.

    Raises:
        CommandRefused: says what to look at and which parameter to set then.
    """
    if identity.side is None and not config.allow_unknown_side:
        raise CommandRefused('the hand stays disabled: ' + '; '.join(identity.warnings))
    told = {name.strip() for name in config.confirmed.split(',')}
    missing = [name for name in model.confirm if name not in told]
    if missing:
        checks = ' '.join(f'{name}: {model.confirm[name]}.' for name in missing)
        raise CommandRefused(
            f'the hand stays disabled until somebody has checked what no source settles. {checks} Then set the '
            f"parameter confirmed to '{','.join(model.confirm)}'")
