"""Where recorded messages go: measurements as they were; what commands a hand, and what live nodes say, set apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

ASIDE = 'recorded'
"""Namespace of recorded commands, and of what was recorded from nodes that run again now."""

OUTPUTS = {
    'grasp_policy': ('joint_commands', 'inference', 'inference_release', 'grasp_policy/policy_state',
                     'grasp_policy/ood_score', 'grasp_policy/slip_probability'),
    'inference_profiler': ('energy',),
    'tactile_publisher': ('tactile/points', 'tactile/*/wrench'),
}
"""Topics that a node publishes, relative to the namespace of its hand."""

COMMANDS = ('*command', '*commands', '*cmd', '*trajectory', 'motion', 'gravity', 'time_chg', 'force_chg',
            'envelop_torque', 'gff_rpy')
"""Last part of the name of topics that set torques of a hand: of our driver, of the vendor's, of ros2_control.

Gravity is among them: the driver compensates the weight of the fingers by it.
"""

COMMAND_TYPES = ('trajectory_msgs/msg/JointTrajectory', 'std_msgs/msg/Float64MultiArray')
"""Types that controllers are commanded with, whatever the topic is called."""

CLOCK = '/clock'


@dataclass(frozen=True, slots=True)
class Routing:
    """Which name a recorded topic gets.

    Attributes:
        live: nodes that run now; their recorded outputs go to :data:`ASIDE`.
        namespace: of the hand's topics in the recording, without slashes at the ends.
        target: of the hand's topics now.
        only: names, relative to the hand, to play; empty: all.
        commands: whether topics that command a hand keep their names; else they go to :data:`ASIDE`, whichever
            namespace they are in.
    """

    live: Collection[str] = ()
    namespace: str = ''
    target: str = ''
    only: Collection[str] = ()
    commands: bool = False

    def name(self, topic: str, kind: str) -> str | None:
        """Absolute name to publish a topic of that type on, or None where it is not played."""
        if topic == CLOCK:
            return None
        front = f'/{self.namespace}/' if self.namespace else '/'
        of_hand = topic.startswith(front)
        relative = topic[len(front):] if of_hand else topic.lstrip('/')
        if self.only and not (of_hand and _matches(relative, self.only)):
            return None
        aside = of_hand and any(_matches(relative, OUTPUTS.get(node, ())) for node in self.live)
        aside = aside or (not self.commands and is_command(topic, kind))
        parts = (self.target if of_hand else '', ASIDE if aside else '', relative)
        return '/' + '/'.join(part for part in parts if part)

    def held(self, topics: Mapping[str, str]) -> dict[str, str]:
        """Topics (name → type) that are set apart because they command a hand: own name → name published on."""
        free, found = replace(self, commands=True), {}
        for topic, kind in topics.items():
            own, name = free.name(topic, kind), self.name(topic, kind)
            if own is not None and name is not None and own != name:
                found[own] = name
        return found

    def let_through(self, topics: Mapping[str, str]) -> list[str]:
        """Names that a hand may listen to and that commands are published on."""
        return sorted(replace(self, commands=False).held(topics)) if self.commands else []

    def is_live(self, status: str) -> bool:
        """Whether an entry of diagnostics was said by a node that runs again now."""
        return status.partition(':')[0].strip().rpartition('/')[2] in self.live


def is_command(topic: str, kind: str) -> bool:
    """Whether somebody who listens to such a topic moves a hand."""
    last = topic.rpartition('/')[2]
    return kind in COMMAND_TYPES or any(fnmatchcase(last, pattern) for pattern in COMMANDS)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    parts = name.split('/')
    return any(len(wanted) == len(parts) and all(w in ('*', p) for w, p in zip(wanted, parts, strict=True))
               for wanted in (pattern.split('/') for pattern in patterns))
