"""What must be true before a hand may have torque, or a control mode: refused with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from allegro_description.errors import CommandRefused, ConfigError, UnknownName
from allegro_description.model import HandModel

from allegro_driver.config import ControlConfig
from allegro_driver.hardware.base import Hardware, Identity


class Unconfirmed(CommandRefused):
    """Nobody has confirmed what no source settles about this hand; ``value`` is what ``confirmed`` would have to be."""

    def __init__(self, checks: str, value: str, remedy: str) -> None:
        """Put the sentence together: what to look at, and what to do then."""
        self.checks, self.value = checks, value
        super().__init__(
            f'the hand stays disabled until somebody has checked what no source settles. {checks} Then {remedy}')


def read_confirmed(model: HandModel, text: str) -> Mapping[str, frozenset[str]]:
    """Read what was confirmed about a hand.

    Args:
        model: its description, which says what there is to confirm.
        text: ``NAME`` or ``NAME@SERIAL``, separated by commas.

    Returns:
        Name -> serial numbers of the hands that it holds for; an empty one stands for every hand.

    Raises:
        UnknownName: nothing of that name is to be confirmed about this hand; the message lists what is.
        ConfigError: no serial number behind the @.
    """
    told: dict[str, frozenset[str]] = {}
    for entry in filter(None, (part.strip() for part in text.split(','))):
        name, mark, serial = (part.strip() for part in entry.partition('@'))
        if name not in model.confirm:
            raise UnknownName('confirmation', name, model.confirm, f'({model.name}, confirmed: {text!r})')
        if mark and not serial:
            raise ConfigError(f'confirmed is {text!r}: write the serial number of the hand behind {name}@, or no @')
        told[name] = told.get(name, frozenset()) | {serial}
    return told


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
        Unconfirmed: says what to look at and which parameter to set then.
        CommandRefused: the side is unknown.
        UnknownName, ConfigError: see :func:`read_confirmed`.
    """
    if identity.side is None and not config.allow_unknown_side:
        raise CommandRefused('the hand stays disabled: ' + '; '.join(identity.warnings))
    told = read_confirmed(model, config.confirmed)
    missing = [name for name in model.confirm if not told.get(name, frozenset()) & {'', identity.serial}]
    if missing:
        # With its serial number, so that another hand that is connected later is not confirmed along with it.
        whose = f'@{identity.serial}' if identity.serial else ''
        value = ','.join(name + whose for name in model.confirm)
        raise Unconfirmed(
            ' '.join(f'{name}: {model.confirm[name]}.' for name in missing), value,
            f"set the parameter confirmed to '{value}' (launch argument confirmed; for two hands right_confirmed or "
            'left_confirmed)')
