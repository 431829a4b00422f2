"""Where recorded messages go when nodes run beside the player: inputs as they were, what these nodes say set apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

ASIDE = 'recorded'
"""Namespace of what was recorded from nodes that run again now."""

OUTPUTS = {
    'grasp_policy': ('joint_commands', 'inference', 'inference_release', 'grasp_policy/policy_state',
                     'grasp_policy/ood_score', 'grasp_policy/slip_probability'),
    'inference_profiler': ('energy',),
    'tactile_publisher': ('tactile/points', 'tactile/*/wrench'),
}
"""Topics that a node publishes, relative to the namespace of its hand."""

CLOCK = '/clock'


@dataclass(frozen=True, slots=True)
class Routing:
    """Which name a recorded topic gets.

    Attributes:
        live: nodes that run now; their recorded outputs go to :data:`ASIDE`.
        namespace: of the hand's topics in the recording, without slashes at the ends.
        target: of the hand's topics now.
        only: names, relative to the hand, to play; empty: all.
    """

    live: Collection[str] = ()
    namespace: str = ''
    target: str = ''
    only: Collection[str] = ()

    def name(self, topic: str) -> str | None:
        """Absolute name to publish on, or None for a topic that is not played."""
        if topic == CLOCK:
            return None
        front = f'/{self.namespace}/' if self.namespace else '/'
        if not topic.startswith(front):
            return topic if not self.only else None
        relative = topic[len(front):]
        if self.only and not _matches(relative, self.only):
            return None
        aside = any(_matches(relative, OUTPUTS.get(node, ())) for node in self.live)
        return '/' + '/'.join(part for part in (self.target, ASIDE if aside else '', relative) if part)

    def is_live(self, status: str) -> bool:
        """Whether an entry of diagnostics was said by a node that runs again now."""
        return status.partition(':')[0].strip().rpartition('/')[2] in self.live


def _matches(name: str, patterns: Iterable[str]) -> bool:
    parts = name.split('/')
    return any(len(wanted) == len(parts) and all(w in ('*', p) for w, p in zip(wanted, parts, strict=True))
               for wanted in (pattern.split('/') for pattern in patterns))
