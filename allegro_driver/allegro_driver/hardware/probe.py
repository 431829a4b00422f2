"""Look at a hand without driving it: it is asked who it is and its samples are counted. No torque, no mode packet.

Over CAN the positions of some hands come only with the motors switched on; that is done on request alone, with zero
torque, and undone at the end.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from allegro_description.errors import LinkError, LinkTimeout, ProtocolError
from allegro_description.state import Array

from allegro_driver.hardware.request import ask
from allegro_driver.link.base import Link
from allegro_driver.loop import LoopReport, LoopStatistics
from allegro_driver.protocol.session import HandInfo, Sample, SerialNumber, Session


@dataclass(frozen=True, slots=True, eq=False)
class ProbeResult:
    """What a hand showed of itself.

    Attributes:
        info: versions and status, None when it did not answer.
        serial: serial number, None when it did not answer.
        side: ``right``, ``left`` or None.
        report: rate, jitter and losses of its samples.
        position: last joint angles, rad, (n_joints,), None when there was no sample.
        not_understood: packets that could not be read.
    """

    info: HandInfo | None
    serial: SerialNumber | None
    side: str | None
    report: LoopReport
    position: Array | None
    not_understood: int


def probe(
    session: Session[Any], link: Link[Any], *, period_s: float, seconds: float = 1.0, tries: int = 3,
    timeout_s: float = 1.0, servo: bool = False,
) -> ProbeResult:
    """Ask a hand who it is and watch its samples.

    Args:
        session: the host's side of its protocol.
        link: closed; it is opened and closed here.
        period_s: nominal time between two samples, s.
        seconds: how long to watch, s.
        tries: how often a request is sent.
        timeout_s: how long a request waits for its answer, s.
        servo: switch the motors on with zero torque while watching, and off again.

    Raises:
        LinkError: the link cannot be opened.
        LinkTimeout: nobody answers.
    """
    bad = 0

    def decode(data: Any) -> Any:
        nonlocal bad
        try:
            return session.decode(data)
        except ProtocolError:
            bad += 1
            return None

    link.open()
    with closing(link):
        info: HandInfo | None = ask(
            link, session.hello, decode, HandInfo, tries if session.answers_hello else 1, timeout_s)
        if info is None and session.answers_hello:
            raise LinkTimeout(
                f'no hand answers at {link.peer} ({tries} tries, {timeout_s} s each); check power, cable, address and '
                'that this machine is in the same network')
        serial: SerialNumber | None = ask(link, session.serial_request, decode, SerialNumber, tries, timeout_s)
        while link.receive(0.0) is not None:
            pass
        statistics = LoopStatistics(period_s)
        position, number = None, 0
        try:
            if servo:
                _send(session, link, (*session.quiet(), *session.stream()))
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                data = link.receive(left)
                message = None if data is None else decode(data)
                if isinstance(message, Sample):
                    number += 1
                    statistics.frame(link.arrival_ns, number if message.sequence is None else message.sequence)
                    position = message.position
        finally:
            if servo:
                for unit in (*session.quiet(), *session.silence()):
                    with suppress(LinkError):
                        _send(session, link, (unit,))
    side = (serial and serial.side) or (info and info.side) or None
    return ProbeResult(info, serial, side, statistics.report(), position, bad)


def _send(session: Session[Any], link: Link[Any], units: tuple[Any, ...]) -> None:
    for unit in units:
        link.send(unit)
        time.sleep(session.gap_s)

