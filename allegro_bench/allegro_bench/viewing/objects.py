"""Triangles of recorded objects that are neither box nor sphere nor cylinder: read once, equal ones kept once."""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from pathlib import Path

import numpy as np
from allegro_description.errors import ProtocolError

from allegro_bench.bags.cdr import Cursor
from allegro_bench.bags.folder import open_bag
from allegro_bench.bags.recording import Float

TRIANGLE_LIST = 11
"""Of visualization_msgs/Marker."""

MOST_CORNERS = 30_000
"""A message with more is no thing to hold."""


class ObjectMeshes:
    """Corners by receive time of the message about the object."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._times: list[int] = []
        self._keys: list[bytes] = []
        self._known: dict[bytes, Float] = {}

    def add(self, received_ns: int, corners: Float) -> None:
        """Take the corners of one message, m, (n, 3, 3); times in any order."""
        key = sha256(corners.tobytes()).digest()
        self._known.setdefault(key, corners)
        place = bisect_left(self._times, received_ns)
        self._times.insert(place, received_ns)
        self._keys.insert(place, key)

    def __call__(self, received_ns: int) -> Float | None:
        """Corners in the message received then."""
        place = bisect_left(self._times, received_ns)
        if place == len(self._times) or self._times[place] != received_ns:
            return None
        return self._known[self._keys[place]]


def read_meshes(path: Path, topic: str) -> ObjectMeshes:
    """Corners of every triangle list on a topic of a bag; messages that cannot be read are left out."""
    found = ObjectMeshes()
    bag = open_bag(path)
    try:
        for topics, rows in bag.blocks():
            for key, received, _, data in rows:
                if topics[key].name == topic:
                    try:
                        corners = corners_of(data)
                    except ProtocolError:
                        continue
                    if corners is not None:
                        found.add(received, corners)
    finally:
        bag.close()
    return found


def corners_of(data: bytes | memoryview) -> Float | None:
    """Corners in a serialised Marker, m, (n, 3, 3); None where it is no triangle list of a size to be shown.

    Raises:
        ProtocolError: these are no bytes of that type.
    """
    cursor = Cursor(data)
    cursor.header()
    cursor.text()
    cursor.skip(4, 4)
    shape = int(cursor.number('i'))
    cursor.skip(4, 4)
    if shape != TRIANGLE_LIST:
        return None
    cursor.skip(80, 8)  # pose and scale
    cursor.skip(16, 4)  # colour
    cursor.skip(8, 4)   # lifetime
    cursor.skip(1)      # frame_locked
    count = cursor.count()
    if not 0 < count <= MOST_CORNERS or count % 3:
        return None
    begin = cursor.skip(24 * count, 8)
    corners = np.frombuffer(data, cursor.order + 'f8', 3 * count, begin).astype(np.float64).reshape(-1, 3, 3)
    return corners if np.isfinite(corners).all() else None
