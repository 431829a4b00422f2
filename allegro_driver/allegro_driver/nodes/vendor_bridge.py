"""ROS 2 node ``vendor_bridge``: topics of the vendor's stacks on one side, ours on the other, in either direction.

Standard messages only. What is passed on, what is translated and what is refused is in :mod:`.bridge_to_driver` and
:mod:`.bridge_to_vendor`; names, orders and units in :mod:`allegro_driver.dialect`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.prefix import prefixed
from allegro_description.ros.interfaces import JOINT_COMMANDS, JOINT_STATES
from allegro_description.ros.node import Diagnosis, PlainNode, run

from allegro_driver.bridge_config import TO_DRIVER, BridgeConfig
from allegro_driver.dialect import make_dialect
from allegro_driver.nodes.bridge_to_driver import ToDriver
from allegro_driver.nodes.bridge_to_vendor import ToVendor

_WARN_EVERY_S = 5.0


class VendorBridge(PlainNode):
    """One hand, one dialect, one direction."""

    config: BridgeConfig

    def __init__(self, **kwargs: Any) -> None:
        """Create both sides.

        Raises:
            UnknownName: there is no such hand.
            ConfigError: a parameter is not allowed, or both sides would use the same topic.
        """
        super().__init__('vendor_bridge', BridgeConfig, **kwargs)
        config = self.config
        model = prefixed(load_hand(config.model, config.side), config.prefix)
        dialect = make_dialect(config, model)
        self.hardware_id = model.name
        self._accepted = self._refused = 0
        self._last_refusal = ''
        for ours, theirs in ((JOINT_STATES.name, dialect.state_topic), (JOINT_COMMANDS.name, dialect.command_topic)):
            if self.resolve_topic_name(ours) == self.resolve_topic_name(theirs):
                raise ConfigError(
                    f'both sides would use the topic {self.resolve_topic_name(theirs)}: run our driver and this bridge '
                    'in a namespace of their own (launch argument namespace), or set state_topic or command_topic')
        side = ToDriver if config.direction == TO_DRIVER else ToVendor
        self._side = side(self, config, model, dialect)
        self.get_logger().info(
            f'{config.direction}: {config.dialect}, commands on {dialect.command_topic}, states on '
            f'{dialect.state_topic}')

    def diagnostics(self) -> Diagnosis:
        """What passed and what did not."""
        level, message = (1, self._last_refusal) if self._last_refusal else (0, 'running')
        self._last_refusal = ''
        return level, message, {
            'dialect': self.config.dialect, 'direction': self.config.direction, 'commands_accepted': self._accepted,
            'commands_refused': self._refused}

    # For the sides -------------------------------------------------------------------------------------------------

    def count_command(self) -> None:
        """A command or word was taken."""
        self._accepted += 1

    def refuse(self, error: Exception) -> None:
        """A message was not passed on."""
        self._refused += 1
        self._last_refusal = str(error)
        self.get_logger().warning(f'refused: {error}', throttle_duration_sec=_WARN_EVERY_S)

    def say(self, sentence: str) -> None:
        """Tell people."""
        self.get_logger().info(sentence)


def main(args: Sequence[str] | None = None) -> int:
    """Console script ``vendor_bridge``."""
    return run(VendorBridge, args)


if __name__ == '__main__':
    raise SystemExit(main())
