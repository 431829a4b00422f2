"""One emulated CAN hand on the bench, without a wire and without a clock, for tests of its controllers."""

from __future__ import annotations

import struct
from collections import Counter

from allegro_driver.emulator.build import build_emulator
from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.protocol.can_frames import parse_frame

V5_DEG = 0.088


class Bench:
    """One hand on the bench: say frames to it, let it run for so many ms, look at what it sent."""

    def __init__(self, model, faults=(), **config):
        values = {'physics': 'simple', 'wire': 'slcan', **config}
        server = build_emulator(EmulatorConfig(model=model, **values), faults)
        self.hand, self.faults = server.firmware, server.firmware.faults
        self.body = self.hand.body
        self.ms = 0.0

    def say(self, *texts):
        """Answers, as text."""
        return [str(f) for text in texts for f, to in self.hand.hear(parse_frame(text), None, round(self.ms))]

    def run(self, ms):
        """Frames sent by itself, as (ms, identifier, bytes)."""
        sent, end = [], self.ms + ms - 1e-6
        while self.ms < end:
            self.ms += 1000.0 * self.hand.period_s
            self.hand.step(round(self.ms))
            sent += [(self.ms, f.identifier, f.data) for f, _ in self.hand.stream(round(self.ms))]
        return sent

    def ids(self, ms):
        return Counter(f'{identifier:03X}' for _, identifier, _ in self.run(ms))


def frame(identifier, *values):
    return f'{identifier:03X}#' + struct.pack(f'<{len(values)}h', *values).hex()


def newest(sent, identifier):
    return struct.unpack('<4h', [data for _, i, data in sent if i == identifier][-1])
