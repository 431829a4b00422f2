"""Serialised ROS 2 messages (CDR) to numbers, for the few types that a hand's recording is made of.

Messages of one topic differ in little more than their numbers. :func:`layout_of` finds in one message where those lie
(:class:`Layout`); :meth:`Layout.fits` and :meth:`Layout.take` then read thousands of equal ones at a time, as views of
one array. Types that vary from message to message (texts, diagnostics) are read one by one with :class:`Cursor`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from allegro_description.errors import ProtocolError
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Order = Literal['<', '>']

_FIELD_FORMATS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
"""Of sensor_msgs/PointField, without byte order."""
_MOST = 1 << 24
"""No sequence in these types is longer."""


class Cursor:
    """Reads one message from front to back. Positions count from the start of the message, header included."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Look at the encapsulation header.

        Raises:
            ProtocolError: shorter than that header, or another encoding than plain CDR.
        """
        if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
            head = bytes(data[:4]).hex(' ') or 'nothing'
            raise ProtocolError(f'no plain CDR message: it begins with {head}, allowed: 00 00 or 00 01')
        self.data, self.at = data, 4
        self.order: Order = '<' if data[1] else '>'

    def skip(self, count: int, align: int = 1) -> int:
        """Go over ``count`` bytes after aligning; returns where they begin.

        Raises:
            ProtocolError: the message is shorter than that.
        """
        begin = self.at + (4 - self.at) % align
        if not 0 <= count <= len(self.data) - begin:
            raise ProtocolError(f'the message is cut short: {len(self.data)} bytes, {count} more needed at {begin}')
        self.at = begin + count
        return begin

    def number(self, kind: str) -> Any:
        """One number, by its ``struct`` letter."""
        size = struct.calcsize('=' + kind)
        return struct.unpack_from(self.order + kind, self.data, self.skip(size, size))[0]

    def count(self) -> int:
        """Length of a sequence.

        Raises:
            ProtocolError: impossibly long.
        """
        found = int(self.number('I'))
        if found > _MOST:
            raise ProtocolError(f'a sequence of {found} elements: these are no bytes of that type')
        return found

    def text(self) -> str:
        """A string."""
        length = self.count()
        begin = self.skip(length)
        return bytes(self.data[begin:begin + max(length - 1, 0)]).decode(errors='replace')

    def stamp(self) -> int:
        """A time, ns."""
        seconds = int(self.number('i'))
        return seconds * 10**9 + int(self.number('I'))

    def header(self) -> int:
        """A header; returns its stamp, ns."""
        stamp = self.stamp()
        self.text()
        return stamp

    def array(self, kind: str, count: int) -> Slot:
        """Go over ``count`` numbers; returns where they lie."""
        dtype = np.dtype(kind).newbyteorder(self.order)
        # An empty sequence is not followed by padding of its elements.
        return Slot(self.skip(count * dtype.itemsize, dtype.itemsize) if count else self.at, dtype, count)

    def sequence(self, kind: str) -> Slot:
        """Go over a length and that many numbers; returns where they lie."""
        return self.array(kind, self.count())


@dataclass(frozen=True)
class Slot:
    """Where an array of numbers lies in a message: one after the other, or one in each of ``count`` points.

    Attributes:
        begin: of the numbers, or of the first point.
        dtype: of a number.
        count: how many.
        step: size of a point; 0: no points.
        offset: of the number in its point.
    """

    begin: int
    dtype: np.dtype[Any]
    count: int
    step: int = 0
    offset: int = 0

    @property
    def end(self) -> int:
        """First byte after the numbers or points."""
        return self.begin + (self.step or self.dtype.itemsize) * self.count

    def of(self, raw: Bytes) -> NDArray[Any]:
        """Numbers of messages (n, length) as (n, count)."""
        if not self.count:
            return np.zeros((len(raw), 0))
        if not self.step:
            # A slice of rows is contiguous in its last axis, which is all that a view of another type needs.
            return raw[:, self.begin:self.end].view(self.dtype)
        size, first = self.dtype.itemsize, self.begin + self.offset
        points = np.lib.stride_tricks.as_strided(
            raw[:, first:], (len(raw), self.count, size), (raw.strides[0], self.step, 1), writeable=False)
        return np.ascontiguousarray(points).view(self.dtype)[:, :, 0]


@dataclass(frozen=True)
class Layout:
    """Where the numbers of messages of equal length lie.

    Attributes:
        stamp: place of the header's stamp; 0: there is none.
        slots: arrays by name.
        names: texts that belong to them (joint names; fields of a cloud).
        order: ``<`` or ``>``.
        fixed: stretches of bytes that are the same in all messages of this layout, with their content.
    """

    stamp: int
    slots: Mapping[str, Slot]
    names: tuple[str, ...]
    order: Order
    fixed: tuple[tuple[int, int, Bytes], ...]

    def fits(self, raw: Bytes) -> NDArray[np.bool_]:
        """Which of the messages (n, length) have this layout."""
        fit = np.ones(len(raw), dtype=bool)
        for begin, end, content in self.fixed:
            fit &= (raw[:, begin:end] == content).all(axis=1)
        return fit

    def stamps(self, raw: Bytes) -> NDArray[np.int64]:
        """Header stamps, ns, (n,)."""
        seconds = raw[:, self.stamp:self.stamp + 4].view(np.dtype('i4').newbyteorder(self.order))
        rest = raw[:, self.stamp + 4:self.stamp + 8].view(np.dtype('u4').newbyteorder(self.order))
        return seconds[:, 0].astype(np.int64) * 10**9 + rest[:, 0]

    def take(self, raw: Bytes, name: str) -> NDArray[Any]:
        """One array of each message, (n, count)."""
        return self.slots[name].of(raw)


def _joint_state(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
    cursor.header()
    names = tuple(cursor.text() for _ in range(cursor.count()))
    return names, {name: cursor.sequence('f8') for name in ('position', 'velocity', 'effort')}


def _multi_array(kind: str) -> Callable[[Cursor], tuple[tuple[str, ...], dict[str, Slot]]]:
    def read(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
        for _ in range(cursor.count()):
            cursor.text()
            cursor.skip(8, 4)
        cursor.skip(4, 4)
        return (), {'data': cursor.sequence(kind)}

    return read


def _cloud(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
    cursor.header()
    height, width = int(cursor.number('I')), int(cursor.number('I'))
    fields = []
    for _ in range(cursor.count()):
        fields.append((cursor.text(), int(cursor.number('I')), int(cursor.number('B')), int(cursor.number('I'))))
    big = cursor.number('B')
    step, _ = cursor.number('I'), cursor.number('I')
    length = cursor.count()
    begin, count = cursor.skip(length), height * width
    if length != count * step:
        raise ProtocolError(f'a cloud of {count} points of {step} bytes with {length} bytes of data')
    slots = {}
    for name, offset, kind, _ in fields:
        if kind not in _FIELD_FORMATS:
            raise ProtocolError(f'a cloud with field {name} of unknown type {kind}')
        dtype = np.dtype(_FIELD_FORMATS[kind]).newbyteorder('>' if big else '<')
        if offset + dtype.itemsize > step:
            raise ProtocolError(f'a cloud whose field {name} lies outside its points')
        slots[name] = Slot(begin, dtype, count, int(step), offset)
    return tuple(name for name, *_ in fields), slots


def _wrench(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
    cursor.header()
    return (), {'data': cursor.array('f8', 6)}


def _vector(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
    cursor.header()
    return (), {'data': cursor.array('f8', 3)}


def _scalar(cursor: Cursor) -> tuple[tuple[str, ...], dict[str, Slot]]:
    return (), {'data': cursor.array('f8', 1)}


_LAYOUTS: dict[str, tuple[bool, Callable[[Cursor], tuple[tuple[str, ...], dict[str, Slot]]]]] = {
    'sensor_msgs/msg/JointState': (True, _joint_state),
    'sensor_msgs/msg/PointCloud2': (True, _cloud),
    'geometry_msgs/msg/WrenchStamped': (True, _wrench),
    'geometry_msgs/msg/Vector3Stamped': (True, _vector),
    'std_msgs/msg/Float64': (False, _scalar),
    'std_msgs/msg/Float32MultiArray': (False, _multi_array('f4')),
    'std_msgs/msg/Float64MultiArray': (False, _multi_array('f8')),
    'std_msgs/msg/Int32MultiArray': (False, _multi_array('i4')),
}
NUMERIC = tuple(_LAYOUTS)
"""Types that :func:`layout_of` knows."""


def layout_of(kind: str, data: bytes | memoryview) -> Layout:
    """Where the numbers of this message lie, and of all that are equal to it but for those numbers.

    Raises:
        ProtocolError: these are no bytes of that type.
    """
    stamped, read = _LAYOUTS[kind]
    cursor = Cursor(data)
    names, slots = read(cursor)
    free = [(4, 12)] if stamped else []
    free += [(s.begin, s.end) for s in slots.values() if s.count]
    return Layout(4 if stamped else 0, slots, names, cursor.order, _between(free, np.frombuffer(data, np.uint8)))


def _between(free: list[tuple[int, int]], raw: Bytes) -> tuple[tuple[int, int, Bytes], ...]:
    """The stretches outside of ``free``, except what comes after the last number."""
    found, at = [], 0
    for begin, end in sorted(free):
        if begin > at:
            found.append((at, begin, raw[at:begin].copy()))
        at = max(at, end)
    return tuple(found)
