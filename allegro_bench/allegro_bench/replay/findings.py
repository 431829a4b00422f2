"""What is wrong with a recording or with what is said about a policy: one sentence each, with topic, time, remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ('fault', 'warning', 'note')
"""``fault``: what depends on it means nothing; ``warning``: read it with that in mind; ``note``: for the eye."""

KINDS = {
    'one_step_skew': 'measurement and target of different control steps are paired',
    'swapped_fingers': 'values of one finger are recorded as those of another',
    'wrong_scale': 'a sensor reads in another unit than the others',
    'frozen_taxel': 'a touch cell repeats one value',
    'dead_taxel': 'a touch cell has fallen to zero for good',
    'stale_joint_states': 'joint states are old, or repeat while time passes',
    'wrong_rate': 'control steps come at another rate than the policy was made for',
    'not_using_touch': 'a policy that is called a touch policy answers the same without touch',
    'not_the_recorded_policy': 'what the policy saw does not follow from the topics',
    'missing_topic': 'something that an answer would need was not recorded',
    'lost_messages': 'messages that were sent are not in the recording',
    'wrong_unit': 'values are in another unit than the topic promises',
    'saturated_taxel': 'a touch cell is at the end of its range, or fell to zero from high',
    'leak': 'the recording was used in training',
    'fault_reported': 'a node called itself faulty while this was recorded',
    'hold': 'the node would have put the hand on hold',
    'damage': 'the recording is damaged',
}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: a key of :data:`KINDS`.
        level: one of :data:`LEVELS`.
        topic: where it shows; '' for the recording as a whole.
        from_s, to_s: when, s since the beginning; None: throughout.
        text: what is wrong, with the numbers.
        remedy: what to do.
        bundle: which policy it concerns, '' for all.
    """

    kind: str
    level: str
    topic: str
    from_s: float | None
    to_s: float | None
    text: str
    remedy: str
    bundle: str = ''

    def as_dict(self) -> dict[str, Any]:
        """The fields as they stand in the document."""
        return asdict(self)

    @property
    def when(self) -> str:
        """The time for a reader."""
        if self.from_s is None:
            return 'throughout'
        if self.to_s is None or self.to_s - self.from_s < 0.05:
            return f'at {self.from_s:.2f} s'
        return f'{self.from_s:.2f} to {self.to_s:.2f} s'


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Gravest first, then by time; the same sentence once."""
    unique = {(f.kind, f.topic, f.text, f.bundle): f for f in findings}
    return sorted(unique.values(), key=lambda f: (LEVELS.index(f.level), f.from_s if f.from_s is not None else -1.0))
