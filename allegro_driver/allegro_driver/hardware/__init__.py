"""What control code drives: a hand behind a bus, and whatever else behaves like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allegro_description.model import HandModel
from allegro_description.plugins import Plugin, PluginTable

if TYPE_CHECKING:
    from allegro_driver.config import DriverConfig
    from allegro_driver.hardware.base import Hardware

HARDWARE = PluginTable(
    'hardware', {'bus': Plugin('allegro_driver.hardware.bus:BusHardware')}, group='allegro_driver.hardware'
)
"""Name to a class with ``from_config(model, config) -> Hardware``."""

CODECS = PluginTable('codec', {
    'v5b2': Plugin('allegro_driver.protocol.v5b2_session:V5B2Session'),
    'v4_can': Plugin('allegro_driver.protocol.classic_can_session:V4CanSession'),
    'v5_can': Plugin('allegro_driver.protocol.v5_can_session:V5CanSession'),
    'v5_3f_can': Plugin('allegro_driver.protocol.v5_can_session:V5ThreeFingerCanSession'),
    'v5_sense_can': Plugin('allegro_driver.protocol.v5_sense_can_session:V5SenseCanSession'),
    'plexus_can': Plugin('allegro_driver.protocol.plexus_can_session:PlexusCanSession'),
}, group='allegro_driver.codecs')
"""The ``codec`` of a protocol in a hand description to its session class, made with ``(model, settings)``."""


def make_hardware(model: HandModel, config: DriverConfig) -> Hardware:
    """Build the hardware that ``config`` asks for, seen through its calibration; nothing is opened yet.

    Raises:
        UnknownPlugin: no such hardware, link or codec.
        ConfigError: an address or another setting that is not allowed, or a link that this hand does not have.
    """
    from allegro_driver.calibration import calibration_folder
    from allegro_driver.hardware.calibrated import CalibratedHardware

    hardware: Hardware = HARDWARE.load(config.hardware).from_config(model, config)
    return CalibratedHardware(hardware, model, calibration_folder(config.calibration_dir))
