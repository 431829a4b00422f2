"""A CAN host made of text and bytes only: no codec of the suite, and for SLCAN not even its line code."""

from __future__ import annotations

import contextlib
import os
import select
import time
import tty


class RawSerial:
    """SLCAN by hand on a terminal, as python-can or slcand would do it."""

    def __init__(self, path, start=b'C\rS8\rO\r'):
        self.file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.file)
        self.rest = b''
        self.answers = []
        self.frames = []
        self.write(start)

    def write(self, data):
        os.write(self.file, data)

    def send(self, text):
        """``200#R`` or ``180#0200CB0042002500``."""
        identifier, _, data = text.partition('#')
        line = f'r{identifier}0' if data == 'R' else f't{identifier}{len(data) // 2}{data}'
        self.write(line.encode() + b'\r')

    def pump(self, timeout):
        """Read what comes within the time; True if anything came."""
        if not select.select([self.file], [], [], max(timeout, 0.0))[0]:
            return False
        self.rest += os.read(self.file, 65536)
        while (end := min((i for i in map(self.rest.find, (b'\r', b'\a')) if i >= 0), default=-1)) >= 0:
            line, self.rest = self.rest[:end + 1], self.rest[end + 1:]
            if line[:1] in (b't', b'r') and len(line) > 5:
                self.frames.append(f'{line[1:4].decode()}#' + ('R' if line[:1] == b'r' else line[5:-1].decode()))
            else:
                self.answers.append(line)
        return True

    def next(self, timeout=2.0):
        end = time.monotonic() + timeout
        while not self.frames:
            if time.monotonic() > end:
                return None
            self.pump(end - time.monotonic())
        return self.frames.pop(0)

    def close(self):
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


class RawBus:
    """A bus of python-can."""

    def __init__(self, address):
        import can

        interface, channel = address.split(':', 1)
        self.message = can.Message
        self.bus = can.Bus(interface=interface, channel=channel)

    def send(self, text):
        identifier, _, data = text.partition('#')
        remote = data == 'R'
        self.bus.send(self.message(arbitration_id=int(identifier, 16), is_extended_id=False, is_remote_frame=remote,
                                   data=b'' if remote else bytes.fromhex(data)))

    def next(self, timeout=2.0):
        got = self.bus.recv(timeout)
        if got is None:
            return None
        return f'{got.arbitration_id:03X}#' + ('R' if got.is_remote_frame else bytes(got.data).hex().upper())

    def close(self):
        self.bus.shutdown()


class Host:
    """What the vendor's drivers do, frame by frame; counts what it hears."""

    def __init__(self, address):
        path = address.partition('#')[0]
        self.port = RawSerial(path.removeprefix('slcan:')) if path.startswith('slcan:') else RawBus(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.port.close()

    def send(self, *texts):
        for text in texts:
            self.port.send(text)

    def wait(self, prefix, timeout=2.0):
        """Next frame whose text begins so, or None; others are dropped."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            got = self.port.next(left)
            if got is not None and got.startswith(prefix):
                return got
        return None

    def ask(self, request, prefix='', timeout=2.0):
        self.send(request)
        return self.wait(prefix or request[:3] + '#', timeout)

    def collect(self, seconds):
        """Everything that comes within the time."""
        got, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            one = self.port.next(left)
            if one is not None:
                got.append(one)
        return got

    def settle(self, seconds=0.03):
        """Drop what is under way."""
        self.collect(seconds)
