"""``allegro-hand calibrate --firmware``: tell a hand to take its present pose as zero. It cannot be undone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

from allegro_description.errors import CommandRefused, LinkError, LinkTimeout, ProtocolError
from allegro_description.model import HandModel
from allegro_description.state import Array

from allegro_driver.commands.dialogue import Dialogue, typed_serial
from allegro_driver.commands.hand_options import chosen_link
from allegro_driver.hardware import CODECS
from allegro_driver.hardware.identify import identify
from allegro_driver.hardware.request import ask
from allegro_driver.link import LINKS
from allegro_driver.link.base import Link
from allegro_driver.protocol.session import CalibrationDone, HandInfo, Sample, SerialNumber, Session

EXPLANATION = """THIS CANNOT BE UNDONE. The hand takes the pose that it is in NOW as zero of all joints; joint 13
(second of the thumb) becomes 90 degrees. A wrong pose spoils a factory calibration for good. Do it only when the vendor
told you to: a file (`allegro-hand calibrate` without --firmware) repairs wrong zeros as well and can be thrown away.
Torque is off. Take away every load, and bring the hand into the vendor's zero pose."""
_DONE_S = 3.0


def run(options: argparse.Namespace, model: HandModel, talk: Dialogue) -> int:
    """Explain, show the pose, send the request when the serial number is typed, show the pose again.

    Raises:
        CommandRefused: no serial number, another one typed, or this protocol has no such request here.
        LinkError, IdentityError: as opening a hand.
    """
    kind = chosen_link(options, model)
    settings = model.protocol[kind]
    session: Session[Any] = CODECS.load(settings['codec'])(model, settings)
    request = _request(session, settings['codec'], model)
    link: Link[Any] = LINKS.load(kind).from_description(options.address, settings)
    decode = _decoder(session)
    link.open()
    with closing(link):
        info: HandInfo | None = ask(link, session.hello, decode, HandInfo, 3, options.timeout)
        serial: SerialNumber | None = ask(link, session.serial_request, decode, SerialNumber, 3, options.timeout)
        identity = identify(model, link.peer, info, serial)
        if not identity.serial:
            raise CommandRefused(
                f'the hand at {link.peer} does not tell its serial number: nothing says which hand this would change')
        try:
            _send(session, link, (*session.quiet(), *session.stream()))
            print(f'{model.name}, serial {identity.serial}, {identity.version}\n\n{EXPLANATION}\n')
            typed_serial(talk, identity.serial, 'This changes the hand itself, for ever.',
                         lambda: _pose(model, _sample(link, decode, 1.0)))
            _send(session, link, session.quiet())
            done = ask(link, request, decode, CalibrationDone, 1, _DONE_S)
            _send(session, link, session.stream())
            after = _sample(link, decode, 1.0)
        finally:
            for unit in (*session.quiet(), *session.silence()):
                with suppress(LinkError):
                    _send(session, link, (unit,))
    print('the hand says that it is done' if done else
          'the request was sent once; the hand did not confirm it. Look at the angles before you repeat it')
    print(f'it now reads: {_pose(model, after)}')
    return 0 if done else 2


def _request(session: Session[Any], codec: str, model: HandModel) -> Callable[[], Sequence[Any]]:
    """What makes the packets of the request.

    Raises:
        CommandRefused: this protocol has none here.
    """
    own: Callable[[], Sequence[Any]] | None = getattr(session, 'calibrate', None)
    if own is not None:
        return own
    if codec == 'v5b2':
        from allegro_driver.protocol.v5b2 import V5B2Codec

        return lambda: (V5B2Codec(model).calibrate(),)
    raise CommandRefused(f'the firmware calibration of {model.name} over {codec} is not known well enough to be sent')


def _decoder(session: Session[Any]) -> Callable[[Any], Any]:
    def decode(unit: Any) -> Any:
        try:
            return session.decode(unit)
        except ProtocolError:
            return None

    return decode


def _send(session: Session[Any], link: Link[Any], units: Sequence[Any]) -> None:
    for unit in units:
        link.send(unit)
        time.sleep(session.gap_s)


def _sample(link: Link[Any], decode: Callable[[Any], Any], timeout_s: float) -> Array:
    """The newest encoder readings, rad, (n_joints,).

    Raises:
        LinkTimeout: none comes.
    """
    while link.receive(0.0) is not None:
        pass
    end = time.monotonic() + timeout_s
    while (left := end - time.monotonic()) > 0:
        unit = link.receive(left)
        message = None if unit is None else decode(unit)
        if isinstance(message, Sample):
            return message.position
    raise LinkTimeout(f'the hand at {link.peer} sends no samples')


def _pose(model: HandModel, position: Array) -> str:
    return '  '.join(f'{name} {angle:.2f}' for name, angle in zip(model.joint_names, position, strict=True))
