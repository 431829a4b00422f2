"""Where the present of a recording is: play, stop, speed and seek over a steady clock that the caller reads."""

from __future__ import annotations

import math


class Playhead:
    """A place between 0 and the length of a recording, s. All ``now`` are of one steady clock, s."""

    def __init__(self, duration_s: float, now: float) -> None:
        """Stand still at the beginning."""
        self.duration_s = max(0.0, duration_s)
        self._place, self._since, self._speed, self._playing = 0.0, now, 1.0, False

    def place(self, now: float) -> float:
        """The present, s; it stays at the end."""
        if not self._playing:
            return self._place
        return min(self._place + max(0.0, now - self._since) * self._speed, self.duration_s)

    def playing(self, now: float) -> bool:
        """Whether it moves: playing, and not at the end."""
        return self._playing and self.place(now) < self.duration_s

    @property
    def speed(self) -> float:
        """Seconds of the recording in one second."""
        return self._speed

    def play(self, on: bool, now: float) -> None:
        """Move or stand still; to play at the end begins again at the start."""
        self.seek(self.place(now), now)
        if on and self._place >= self.duration_s:
            self._place = 0.0
        self._playing = on

    def set_speed(self, speed: float, now: float) -> None:
        """Go on from here at another speed; one that is not a positive number is ignored."""
        self.seek(self.place(now), now)
        if math.isfinite(speed) and speed > 0:
            self._speed = speed

    def seek(self, seconds: float, now: float) -> None:
        """Go to a place, the nearest there is; what is not a number is ignored."""
        if math.isfinite(seconds):
            self._place, self._since = min(max(seconds, 0.0), self.duration_s), now
