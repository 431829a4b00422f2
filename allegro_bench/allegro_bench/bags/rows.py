"""Messages of one topic to rows of numbers, many at a time where the type allows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from allegro_description.errors import ProtocolError
from allegro_description.model import HandModel
from numpy.typing import NDArray

from allegro_bench.bags.cdr import NUMERIC, Cursor, Layout, layout_of
from allegro_bench.bags.profiles import UNITS, StreamSpec
from allegro_bench.bags.recording import NO_STAMP, Float, Stamps
from allegro_bench.episodes import value_of

Data = bytes | memoryview
_MOST_LAYOUTS = 64


@dataclass
class Rows:
    """Rows of one topic; the columns are those of :class:`allegro_bench.bags.recording.Track`."""

    received_ns: Stamps
    stamp_ns: Stamps
    values: Float
    valid: NDArray[np.bool_]
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)


class RowReader:
    """Turns the messages of one topic into rows, and keeps account of those that cannot be.

    Attributes:
        names: of the columns; known after the first message that could be read.
        prefix: before the joint names.
        others: prefixes of further hands in the same messages.
        refused: reason → (how many messages, receive time of the first).
    """

    def __init__(self, spec: StreamSpec, model: HandModel, prefix: str | None = None) -> None:
        """Nothing is read yet.

        Args:
            spec: what the profile says about the topic.
            model: the hand.
            prefix: which of two hands in one message; None: the first that is complete.
        """
        self._spec, self._model, self._wanted = spec, model, prefix
        self.names: tuple[str, ...] = ()
        self.prefix = prefix or ''
        self.others: tuple[str, ...] = ()
        self.refused: dict[str, tuple[int, int]] = {}
        self._layouts: dict[int, list[Layout]] = defaultdict(list)
        self._orders: dict[tuple[str, ...], NDArray[np.intp] | str] = {}
        self._decode = _TEXTS.get((spec.type, spec.kind)) or _TEXTS.get((spec.type, ''))

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    def read(self, received: Sequence[int], data: Sequence[Data]) -> Rows:
        """Rows of these messages, fewer where some cannot be read (:attr:`refused`)."""
        if self._spec.type in NUMERIC:
            return self._numbers(np.array(received, dtype=np.int64), data)
        return self._one_by_one(received, data)

    def _refuse(self, reason: str, count: int, received_ns: int) -> None:
        before, first = self.refused.get(reason, (0, received_ns))
        self.refused[reason] = before + count, first

    # Numbers -----------------------------------------------------------------------------------------------------

    def _numbers(self, received: Stamps, data: Sequence[Data]) -> Rows:
        lengths = np.array([len(d) for d in data])
        parts: list[tuple[NDArray[np.intp], Rows]] = []
        for length in np.unique(lengths):
            which = np.flatnonzero(lengths == length)
            raw = np.frombuffer(b''.join([data[int(k)] for k in which]), np.uint8).reshape(len(which), length)
            parts += self._alike(which, received, raw)
        if len(parts) == 1:
            return parts[0][1]
        if not parts:
            return self._none()
        order = np.argsort(np.concatenate([w for w, _ in parts]))
        extras = {key for _, rows in parts for key in rows.extra}

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(rows, name) for _, rows in parts])[order]

        return Rows(joined('received_ns'), joined('stamp_ns'), joined('values'), joined('valid'),
                    {key: np.concatenate([rows.extra[key] for _, rows in parts])[order] for key in extras})

    def _none(self) -> Rows:
        nothing = np.zeros(0, np.int64)
        empty = np.zeros((0, self.width))
        extra = {'velocity': empty, 'effort': empty} if self._spec.kind in ('joint_states', 'commands') else {}
        return Rows(nothing, nothing, empty, empty.astype(bool), dict(extra))

    def _alike(
        self, which: NDArray[np.intp], received: Stamps, raw: NDArray[np.uint8],
    ) -> list[tuple[NDArray[np.intp], Rows]]:
        """Messages of equal length, by layout."""
        parts, known = [], self._layouts[raw.shape[1]]
        tried = 0
        while len(which):
            if tried == len(known):
                try:
                    layout = layout_of(self._spec.type, raw[0].tobytes())
                except ProtocolError as error:
                    self._refuse(str(error), 1, int(received[which[0]]))
                    which, raw = which[1:], raw[1:]
                    continue
                if len(known) >= _MOST_LAYOUTS:  # a topic whose every message is another one
                    known.clear()
                    tried = 0
                known.append(layout)
            layout = known[tried]
            tried += 1
            fit = layout.fits(raw)
            if fit.all():
                mine, those, which = raw, which, which[:0]
            elif fit.any():
                mine, those = raw[fit], which[fit]
                which, raw = which[~fit], raw[~fit]
            else:
                continue
            try:
                parts.append((those, self._taken(layout, mine, received[those])))
            except ProtocolError as error:
                self._refuse(str(error), len(those), int(received[those[0]]))
        return parts

    def _taken(self, layout: Layout, raw: NDArray[np.uint8], received: Stamps) -> Rows:
        stamps = layout.stamps(raw) if layout.stamp else np.full(len(raw), NO_STAMP, np.int64)
        extra: dict[str, NDArray[Any]] = {}
        valid = None
        if self._spec.kind in ('joint_states', 'commands'):
            order = self._joint_order(layout)
            values = self._joints(layout, raw, 'position' if 'position' in layout.slots else 'data', order)
            for name in ('velocity', 'effort'):
                extra[name] = self._joints(layout, raw, name, order)
            if self._spec.effort == 'mA':
                extra['effort'] /= self._model.per_nm
            elif self._spec.effort == 'unknown':
                extra['effort'][:] = np.nan
        elif self._spec.kind == 'policy_state':
            values = layout.take(raw, 'position').astype(np.float64)
            self._same(layout.names, values.shape[1])
        elif self._spec.kind in ('touch', 'touch_raw'):
            values, valid = self._touch(layout, raw)
        else:
            values = layout.take(raw, 'data').astype(np.float64)
            self._same(_NAMES.get(self._spec.kind) or tuple(str(k) for k in range(values.shape[1])), values.shape[1])
        finite = np.isfinite(values)
        return Rows(received, stamps, values, finite if valid is None else valid & finite, extra)

    def _same(self, names: tuple[str, ...], width: int) -> None:
        if len(names) != width:
            raise ProtocolError(f'{width} values for {len(names)} names')
        if self.names and names != self.names:
            raise ProtocolError(f'its {len(names)} columns are called otherwise than the {self.width} before '
                                '(another policy or hand)')
        self.names = names

    def _touch(self, layout: Layout, raw: NDArray[np.uint8]) -> tuple[Float, NDArray[np.bool_] | None]:
        field = self._spec.field or 'data'
        if field not in layout.slots:
            raise ProtocolError(f'its fields are {", ".join(layout.names) or "none"}, the profile wants {field}')
        values = layout.take(raw, field).astype(np.float64) * UNITS[self._spec.unit]
        taxels = tuple(t.name for t in self._model.taxels)
        if values.shape[1] != len(taxels):
            raise ProtocolError(f'{values.shape[1]} values, {self._model.name} has {len(taxels)} taxels')
        self.names = taxels
        if self._spec.valid and self._spec.valid in layout.slots:
            return values, layout.take(raw, self._spec.valid).astype(bool)
        return values, None

    def _joints(self, layout: Layout, raw: NDArray[np.uint8], name: str, order: NDArray[np.intp]) -> Float:
        if name not in layout.slots or not layout.slots[name].count:
            return np.full((len(raw), len(order)), np.nan)
        return np.ascontiguousarray(layout.take(raw, name)[:, order], dtype=np.float64)

    def _joint_order(self, layout: Layout) -> NDArray[np.intp]:
        """Where the canonical joints stand in a message."""
        counts = {n: s.count for n, s in layout.slots.items() if s.count}
        key = (*layout.names, '', *(f'{n} {c}' for n, c in counts.items()))
        if key not in self._orders:
            try:
                self._orders[key] = self._find_order(layout.names, counts)
            except ProtocolError as error:
                self._orders[key] = str(error)
        order = self._orders[key]
        if isinstance(order, str):
            raise ProtocolError(order)
        self.names = self._model.joint_names
        return order

    def _find_order(self, names: tuple[str, ...], counts: dict[str, int]) -> NDArray[np.intp]:
        joints = self._model.joint_names
        if self._spec.order:
            if any(count != len(joints) for count in counts.values()):
                raise ProtocolError(f'{max(counts.values())} values, {self._model.name} has {len(joints)} joints')
            wanted = joints if self._spec.order == 'canonical' else self._model.orders.get(self._spec.order)
            if wanted is None:
                raise ProtocolError(f'the profile wants joint order {self._spec.order}, {self._model.name} has none')
            return np.array([wanted.index(name) for name in joints])
        prefixes = joint_prefixes(self._model, names)
        if not prefixes:
            raise ProtocolError(f'joints {_some(names)} are not those of {self._model.name} ({_some(joints)})')
        if self._wanted is None:
            self._wanted = prefixes[0]
        if len(prefixes) > 1:
            self.others = tuple(p for p in prefixes if p != self._wanted)
        if self._wanted not in prefixes:
            raise ProtocolError(f'joints with prefix {prefixes[0]!r}, this hand has {self._wanted!r}')
        self.prefix = self._wanted
        if any(count != len(names) for count in counts.values()):
            raise ProtocolError(f'{max(counts.values())} values for {len(names)} joint names')
        return np.array([names.index(self._wanted + core) for core in cores(self._model)])

    # Texts -------------------------------------------------------------------------------------------------------

    def _one_by_one(self, received: Sequence[int], data: Sequence[Data]) -> Rows:
        times, stamps, events, values, references = [], [], [], [], []
        for when, message in zip(received, data, strict=True):
            try:
                assert self._decode is not None
                found = self._decode(Cursor(message))
            except ProtocolError as error:
                self._refuse(str(error), 1, when)
                continue
            for row in found:
                times.append(when)
                stamps.append(row.stamp_ns)
                values.append(row.values)
                if row.event is not None:
                    events.append(row.event)
                if row.reference_ns is not None:
                    references.append(row.reference_ns)
        self.names = _NAMES.get(self._spec.kind, ())
        table = np.array(values, dtype=np.float64).reshape(len(times), self.width)
        extra = {'reference_ns': np.array(references, np.int64)} if self._spec.kind.startswith('inference') else {}
        return Rows(np.array(times, np.int64), np.array(stamps, np.int64), table, np.isfinite(table), extra, events)


def cores(model: HandModel) -> list[str]:
    """Joint names without the prefix that this project itself puts before those of the ros2_control hands."""
    return [name.removeprefix('ah_') for name in model.joint_names]


def joint_prefixes(model: HandModel, names: Sequence[str]) -> list[str]:
    """Prefixes with which all joints of the hand are among the names."""
    given, wanted = set(names), cores(model)
    prefixes = [name.removesuffix(wanted[0]) for name in names if name.endswith(wanted[0])]
    return [p for p in prefixes if all(p + core in given for core in wanted)]


def joint_names(data: Data) -> tuple[str, ...]:
    """The names in a JointState.

    Raises:
        ProtocolError: these are no bytes of that type.
    """
    return layout_of('sensor_msgs/msg/JointState', data).names


def _some(names: Sequence[str]) -> str:
    return ', '.join(names) if len(names) < 4 else f'{names[0]}, {names[1]} … {names[-1]}' if names else 'without names'


@dataclass(frozen=True, slots=True)
class _Row:
    stamp_ns: int
    event: Any = None
    values: tuple[float, ...] = ()
    reference_ns: int | None = None


def statuses(cursor: Cursor) -> list[dict[str, Any]]:
    """The statuses of a DiagnosticArray: ``level``, ``name``, ``message``, ``hardware_id``, ``values``.

    Raises:
        ProtocolError: these are no bytes of that type.
    """
    return [row.event for row in _statuses(cursor)]


def _statuses(cursor: Cursor) -> list[_Row]:
    stamp, rows = cursor.header(), []
    for _ in range(cursor.count()):
        level = int(cursor.number('B'))
        name, message, hardware = cursor.text(), cursor.text(), cursor.text()
        table = {cursor.text(): cursor.text() for _ in range(cursor.count())}
        rows.append(_Row(stamp, {'level': level, 'name': name, 'message': message, 'hardware_id': hardware,
                                 'values': table}))
    return rows


def _episode(cursor: Cursor) -> list[_Row]:
    return [_Row(r.stamp_ns, {'event': r.event['message'], **{k: value_of(v) for k, v in r.event['values'].items()}})
            for r in _statuses(cursor)[:1]]


def _reference(cursor: Cursor) -> list[_Row]:
    stamp, reference = cursor.header(), cursor.stamp()
    return [_Row(stamp, cursor.text(), ((stamp - reference) * 1e-9,), reference)]


def _text(cursor: Cursor) -> list[_Row]:
    return [_Row(NO_STAMP, cursor.text())]


def _marker(cursor: Cursor) -> list[_Row]:
    stamp, _ = cursor.header(), cursor.text()
    cursor.skip(4, 4)
    shape, action = int(cursor.number('i')), int(cursor.number('i'))
    pose = tuple(float(cursor.number('d')) for _ in range(7))
    size = tuple(float(cursor.number('d')) for _ in range(3))
    return [_Row(stamp, {'shape': shape, 'action': action}, (*pose, *size))]


_TEXTS: dict[tuple[str, str], Callable[[Cursor], list[_Row]]] = {
    ('diagnostic_msgs/msg/DiagnosticArray', ''): _statuses,
    ('diagnostic_msgs/msg/DiagnosticArray', 'episodes'): _episode,
    ('sensor_msgs/msg/TimeReference', ''): _reference,
    ('std_msgs/msg/String', ''): _text,
    ('visualization_msgs/msg/Marker', ''): _marker,
}
READABLE = frozenset(NUMERIC) | {kind for kind, _ in _TEXTS}
"""Message types that can be read."""

_NAMES = {
    'inference': ('duration_s',), 'inference_release': ('after_release_s',), 'gravity': ('x', 'y', 'z'),
    'wrench': ('force_x', 'force_y', 'force_z', 'torque_x', 'torque_y', 'torque_z'),
    'object': ('x', 'y', 'z', 'qx', 'qy', 'qz', 'qw', 'size_x', 'size_y', 'size_z'),
    'ood_score': ('score',), 'slip_probability': ('probability',),
}
