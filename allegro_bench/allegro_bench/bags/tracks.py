"""Rows of one topic, block by block, to a track: in order, cut where the clock jumps, with what is odd about it."""

from __future__ import annotations

import numpy as np
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_bench.bags.profiles import StreamSpec
from allegro_bench.bags.recording import NO_STAMP, Float, Stamps, Track
from allegro_bench.bags.rows import RowReader, Rows
from allegro_bench.bags.storage import when

JUMP_NS = 10**9
"""A receive time that goes back by more is a jump of the clock, if it stays there; else the message was late."""
_STAYS = 64
_FULL_TURN = 2 * np.pi
_MOST_NM = 20.0
"""Above any torque of these hands (stall 1.84 N·m); a motor current in mA soon exceeds it."""
_MOST_PA = 1e6
"""The vendor takes touch above 1000 kPa for nonsense."""
_LEAST_PA = 100.0
"""One count of the V5 Sense is 0.1 kPa: numbers that never reach it are no Pa."""
_ENOUGH = 200

_UNITS = {'joint_states': 'rad', 'commands': 'rad', 'touch': 'Pa', 'touch_raw': 'Pa', 'inference': 's',
          'inference_release': 's'}


class TrackBuilder:
    """Collects the rows of one topic; :meth:`take` hands them over."""

    def __init__(self, kind: str, topic: str, spec: StreamSpec, model: HandModel, prefix: str | None) -> None:
        """An empty track of that kind (``wrench/index`` …)."""
        self.kind, self.topic, self._spec = kind, topic, spec
        self.reader = RowReader(spec, model, prefix)
        self._blocks: list[Rows] = []
        self._newest = self._segment = self._late = self._late_ns = self._late_at = 0
        self._jumps: list[str] = []
        self._newest_stamp, self._stamp_backs, self._stamp_words = 0, 0, ''
        self._largest: dict[str, float] = {}
        self.count = 0

    def add(self, received: list[int], data: list[bytes | memoryview]) -> None:
        """Append messages in stored order."""
        self.count += len(received)
        rows = self.reader.read(received, data)
        if len(rows.received_ns):
            self._blocks.append(rows)

    def take(self) -> Track | None:
        """What was added since the last time, in order; None where nothing was."""
        blocks, self._blocks = self._blocks, []
        if not blocks:
            return None
        received, stamps, values, valid = (
            np.concatenate([getattr(b, name) for b in blocks]) if len(blocks) > 1 else getattr(blocks[0], name)
            for name in ('received_ns', 'stamp_ns', 'values', 'valid'))
        extra = {key: np.concatenate([b.extra[key] for b in blocks]) for key in blocks[0].extra}
        events = tuple(e for b in blocks for e in b.events)
        segment = self._segments(received)
        self._look_at_stamps(stamps, received)
        self._look_at_units(values, valid, extra)
        track = Track(self.kind, self.topic, self._spec.type, self.reader.names, _UNITS.get(self._spec.kind, ''),
                      received, stamps, values, valid, extra, events, segment)
        if ((np.diff(received) >= 0) | (np.diff(segment) > 0)).all():
            return track
        return track.rows(np.lexsort((received, segment)))

    # What is odd -----------------------------------------------------------------------------------------------

    def _segments(self, received: Stamps) -> NDArray[np.int32]:
        """Number of the segment of each row, after jumps of the clock."""
        segment = np.full(len(received), self._segment, np.int32)
        begin = 0
        while begin < len(received):
            part = received[begin:]
            before = np.maximum.accumulate(np.concatenate([[self._newest or part[0]], part]))
            back = before[:-1] - part
            far = np.flatnonzero(back > JUMP_NS)
            jump = next((int(k) for k in far if (part[k:k + _STAYS] < before[k] - JUMP_NS).all()), None)
            self._count_late(back[:jump], part[:jump])
            if jump is None:
                self._newest = int(before[-1])
                break
            self._jumps.append(f'{self.topic}: the recorder\'s clock jumped back by {back[jump] * 1e-9:.3f} s at '
                               f'{when(int(before[jump]))}; what follows is kept as segment {self._segment + 1}, '
                               'compare times within a segment only')
            self._segment += 1
            begin += jump
            self._newest = int(received[begin])
            segment[begin:] = self._segment
        return segment

    def _count_late(self, back: Stamps, part: Stamps) -> None:
        late = np.flatnonzero(back > 0)
        if len(late):
            self._late_at = self._late_at or int(part[late[0]])
            self._late += len(late)
            self._late_ns = max(self._late_ns, int(back.max()))

    def _look_at_stamps(self, stamps: Stamps, received: Stamps) -> None:
        if self._spec.kind in ('diagnostics', 'object') or (stamps == NO_STAMP).all():
            return
        steps = np.diff(stamps, prepend=self._newest_stamp or stamps[0])
        back = np.flatnonzero(steps < 0)
        if len(back):
            k = int(back[0])
            self._stamp_words = self._stamp_words or (
                f'by {-steps[k] * 1e-9:.3f} s at {when(int(received[k]))}')
            self._stamp_backs += len(back)
        self._newest_stamp = int(stamps[-1])

    def _look_at_units(self, values: Float, valid: NDArray[np.bool_], extra: dict[str, Float]) -> None:
        if self._spec.kind not in _UNITS:
            return
        columns = {'values': np.where(valid, values, 0.0)}
        if self._spec.kind == 'joint_states':
            columns['effort'] = np.nan_to_num(extra['effort'], posinf=0.0, neginf=0.0)
        for name, column in columns.items():
            if column.size:
                self._largest[name] = max(self._largest.get(name, 0.0), float(np.abs(column).max()))

    def damage(self) -> list[str]:
        """Sentences on what was found so far."""
        words = [f'{self.topic}: {count} messages cannot be read, the first at {when(first)}: {reason}; they are left '
                 'out' for reason, (count, first) in self.reader.refused.items()]
        if self.reader.others:
            words.append(f'{self.topic}: joints of {1 + len(self.reader.others)} hands; read are those that begin '
                         f'with {self.reader.prefix!r}, not {", ".join(map(repr, self.reader.others))}. Choose with '
                         '--prefix')
        words += self._jumps[:5]
        if len(self._jumps) > 5:
            words.append(f'{self.topic}: the clock jumped back {len(self._jumps) - 5} more times')
        if self._late:
            words.append(f'{self.topic}: {self._late} messages were stored late, by up to '
                         f'{self._late_ns * 1e-9:.3f} s, the first received at {when(self._late_at)}; they '
                         'were brought into order')
        if self._stamp_backs:
            words.append(f'{self.topic}: header stamps go back {self._stamp_backs} times, first {self._stamp_words}; '
                         'ages and delays are wrong there. Was the driver restarted, or its clock set?')
        return words + self._unit_words()

    def _unit_words(self) -> list[str]:
        largest = self._largest.get('values', 0.0)
        if self._spec.kind in ('joint_states', 'commands') and largest > _FULL_TURN:
            return [f'{self.topic}: joint angles reach {largest:.1f}; these joints turn less than one turn, so they '
                    'are hardly rad. Degrees? Convert them, or leave the topic out']
        if self._spec.kind == 'joint_states' and self._largest.get('effort', 0.0) > _MOST_NM:
            return [f'{self.topic}: effort reaches {self._largest["effort"]:.0f} N·m, which no such hand has. mA? Then '
                    'choose the profile v5_sense, or one of your own with effort: mA']
        if self._spec.kind in ('touch', 'touch_raw'):
            if largest > _MOST_PA:
                return [f'{self.topic}: pressures reach {largest / 1000:.0f} kPa when read as {self._spec.unit}; raw '
                        'counts or Pa? Choose a profile with the right unit']
            if self._spec.unit == 'Pa' and 0 < largest < _LEAST_PA and self.count >= _ENOUGH:
                return [f'{self.topic}: pressures never exceed {largest:.3g} Pa, less than one count of such a sensor. '
                        'kPa? Choose a profile with unit: kPa']
        return []
