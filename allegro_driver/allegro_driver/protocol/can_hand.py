"""The hand's side of every CAN protocol, by codec name."""

from __future__ import annotations

from allegro_description.errors import UnknownName
from allegro_description.model import HandModel

from allegro_driver.protocol.classic_can_hand import V4CanHand, V5CanHand, V5ThreeFingerCanHand
from allegro_driver.protocol.plexus_can_hand import PlexusCanHand
from allegro_driver.protocol.v5_sense_can_hand import V5SenseCanHand

CanHand = V4CanHand | V5CanHand | V5ThreeFingerCanHand | V5SenseCanHand | PlexusCanHand

CAN_HANDS: dict[str, type[CanHand]] = {
    'v4_can': V4CanHand, 'v5_can': V5CanHand, 'v5_3f_can': V5ThreeFingerCanHand, 'v5_sense_can': V5SenseCanHand,
    'plexus_can': PlexusCanHand,
}


def can_hand(model: HandModel, device: int = 0) -> CanHand:
    """The hand's side for a hand description, with the switches that stand there.

    Args:
        model: the hand; its ``protocol.can`` names the codec.
        device: device number on the bus, 0 … 3.

    Raises:
        UnknownName: it has no CAN protocol of this suite, or a switch that does not exist.
        ConfigError: a switch with a value that is not allowed.
    """
    settings = model.protocol.get('can', {})
    codec = settings.get('codec', 'none')
    if codec not in CAN_HANDS:
        raise UnknownName('CAN codec', codec, CAN_HANDS, f'({model.name}, protocol.can)')
    return CAN_HANDS[codec](model, settings, device)
