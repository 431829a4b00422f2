"""Is the hand that answered the hand that was asked for? Pure: from what it said to an identity or a refusal."""

from __future__ import annotations

from allegro_description.errors import IdentityError
from allegro_description.model import HandModel

from allegro_driver.hardware.base import Identity
from allegro_driver.protocol.session import HandInfo, SerialNumber


def identify(
    model: HandModel, peer: str, info: HandInfo | None, serial: SerialNumber | None, *, expected_serial: str = '',
    tries: int = 3,
) -> Identity:
    """Compare what a hand said with its description.

    Args:
        model: the hand that was asked for; its ``serial_kind`` is the type letter.
        peer: its address, for messages.
        info: what it said about itself, None where it said nothing.
        serial: its serial number, None where it gave none.
        expected_serial: the only serial number that will do; '' accepts all.
        tries: how often it was asked, for messages.

    Raises:
        IdentityError: another side, type, generation or serial number.
    """
    text = '' if serial is None else serial.text
    told = {side for side in (serial and serial.side, info and info.side) if side}
    side = told.pop() if len(told) == 1 else None
    warnings = []
    if serial is None:
        warnings.append(f'the hand did not tell its serial number ({tries} tries)')
    elif not text:
        warnings.append('the hand has lost its serial number')
    if told:
        warnings.append('its serial number and its own information disagree about the side')
    if side is None:
        warnings.append(
            f'its side is unknown, so it stays disabled; if you see that it is a {model.side} hand, '
            'set the parameter allow_unknown_side')
    elif side != model.side:
        raise IdentityError(
            f'the hand at {peer} (serial {text or "unknown"}) is a {side} hand, but {model.side} was asked '
            f"for; set the parameter side to '{side}' or connect the other hand")
    kind = '' if serial is None else serial.kind
    if model.serial_kind and kind and kind != model.serial_kind:
        raise IdentityError(
            f'the hand at {peer} (serial {text}) is of type {kind}, but {model.name} is of type {model.serial_kind}; '
            'set the parameter model to the hand that is connected')
    if model.actuation.unit == 'PWM':
        warnings += _generation(peer, text, kind, info)
    elif not model.serial_kind and kind == 'C' and len(model.joints) != 9:
        warnings.append(f'serial {text} is that of a 3-finger hand, but the model is {model.name}')
    if expected_serial and text != expected_serial:
        raise IdentityError(
            f'the hand at {peer} has serial {text or "(none)"}, expected is {expected_serial}; '
            'connect that hand or change the parameter expected_serial')
    version = '' if info is None else f'hardware 0x{info.hardware:04x}, firmware 0x{info.firmware:04x}'
    return Identity(text, side, version, tuple(warnings))


def _generation(peer: str, text: str, kind: str, info: HandInfo | None) -> list[str]:
    """A V4 takes PWM counts, full scale 1200 at 12 V; generations before it have 800 at 8 V.

    A V5 on the same wire would take those counts for milliamps, beyond its limit.
    """
    if kind:
        raise IdentityError(
            f'the hand at {peer} (serial {text}) is a V5 hand, type {kind}: it would read PWM counts as milliamps; '
            'set the parameter model to the hand that is connected')
    if info is None:
        return ['the hand did not tell its hardware version; a generation before V4 (8 V) must not be driven as a V4']
    if info.hardware >> 8 < 4:
        raise IdentityError(
            f'the hand at {peer} has hardware version 0x{info.hardware:04x}: before version 4 hands run on 8 V with '
            'another PWM scale, which this suite does not drive; connect a V4')
    return []
