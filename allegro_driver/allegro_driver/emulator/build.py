"""Put an emulator together from its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.model import HandModel, load_hand

from allegro_driver.emulator.body import HandBody
from allegro_driver.emulator.can_wire import CanBusWire
from allegro_driver.emulator.classic_firmware import ClassicFirmware, classic_faults
from allegro_driver.emulator.config import EmulatorConfig, serial_number
from allegro_driver.emulator.fault_table import split
from allegro_driver.emulator.faults import FaultSet
from allegro_driver.emulator.firmware import Parts
from allegro_driver.emulator.plexus_firmware import PATH_RATE, PLEXUS_FAULTS, PlexusFirmware
from allegro_driver.emulator.script import FaultScript
from allegro_driver.emulator.seams import Firmware, Wire
from allegro_driver.emulator.server import EmulatorServer
from allegro_driver.emulator.slcan_wire import SlcanWire
from allegro_driver.emulator.udp_wire import UdpWire
from allegro_driver.emulator.v5b2_firmware import V5B2_FAULTS, V5B2Firmware
from allegro_driver.emulator.world import Episodes, NoEpisodes, SimpleWorld, World
from allegro_driver.link.can_bus import parse_can_address
from allegro_driver.protocol.can_hand import CAN_HANDS, CanHand
from allegro_driver.protocol.plexus_can_hand import PlexusCanHand

EPISODES_FOR = 'v5_sense_right'
MakeFirmware = Callable[[Parts], Firmware[Any]]


def build_emulator(config: EmulatorConfig, faults: Iterable[str] = ()) -> EmulatorServer[Any]:
    """Build the server of one emulated hand; its wire is still closed.

    Args:
        config: settings.
        faults: faults active from the start, each ``name[=value]``.

    Raises:
        AllegroError: a setting, fault or package is wrong or missing; one sentence says which.
    """
    model = load_hand(config.model, config.side)
    wire = make_wire(model, config)
    make, possible, path_rate = _firmware(model, config, wire)
    active = FaultSet(model, config.seed, wire.faults | possible, f'{model.name} on {wire.kind}')
    for text in faults:
        active.inject(*split(text))
    script = FaultScript(active, config.script) if config.script else None
    world, episodes = _world(model, config)
    body = HandBody(model, world, active, watchdog_ms=config.torque_watchdog_ms, thermal_s=config.thermal_s,
                    path_rate=path_rate)
    firmware = make(Parts(model, body, active, config, *serial_number(model, config.serial)))
    return EmulatorServer(config, wire, firmware, episodes, active, script)


def make_wire(model: HandModel, config: EmulatorConfig) -> Wire[Any]:
    """Return the wire that the settings ask for, closed.

    Raises:
        ConfigError: this hand has no such wire, or the address is malformed.
    """
    kind = config.wire
    if kind == 'auto':
        kind = 'udp' if 'udp' in model.protocol else 'slcan'
    need = 'udp' if kind == 'udp' else 'can'
    if need not in model.protocol:
        raise ConfigError(f'{model.name} does not speak {need.upper()}; it speaks: {", ".join(model.protocol)}')
    if config.pty_link and kind != 'slcan':
        raise ConfigError('--pty-link belongs to --wire slcan')
    if kind == 'udp':
        return UdpWire(config.host, config.port)
    if kind == 'slcan':
        return SlcanWire(config.pty_link)
    if kind.startswith('slcan:'):
        raise ConfigError(f'wire is {kind!r}: an emulated hand makes its own serial line; use --wire slcan, and '
                          '--pty-link PATH to give it a name')
    return CanBusWire(kind)


def _firmware(model: HandModel, config: EmulatorConfig, wire: Wire[Any]) -> tuple[MakeFirmware, frozenset[str], float]:
    """How to make the firmware, which faults it can have, and how fast its position loop approaches targets."""
    if wire.kind == 'udp':
        if model.protocol['udp'].get('codec') != 'v5b2':
            raise ConfigError(f'{model.name}: no emulator for its UDP protocol; v5b2 is known')
        return V5B2Firmware, V5B2_FAULTS, 0.0
    codec = _codec(model, model.protocol['can'], config)
    if isinstance(codec, PlexusCanHand):
        return partial(PlexusFirmware, codec=codec), PLEXUS_FAULTS, PATH_RATE
    return partial(ClassicFirmware, codec=codec), classic_faults(model, codec), 0.0


def _codec(model: HandModel, entry: Mapping[str, Any], config: EmulatorConfig) -> CanHand:
    switches = dict(entry)
    for text in filter(None, (part.strip() for part in config.switches.split(','))):
        name, equals, value = text.partition('=')
        if not equals:
            raise ConfigError(f'switches holds {text!r}; write NAME=VALUE, with commas between several')
        switches[name.strip()] = int(value) if value.strip().isdecimal() else value.strip()
    device = config.device_id
    if device < 0:
        device = parse_can_address(str(entry['default_address'])).device
    if entry['codec'] not in CAN_HANDS:
        raise ConfigError(f'{model.name}: no emulator for its CAN protocol {entry["codec"]!r}; known: '
                          f'{", ".join(CAN_HANDS)}')
    return CAN_HANDS[entry['codec']](model, switches, device)


def _world(model: HandModel, config: EmulatorConfig) -> tuple[World, Episodes]:
    period = config.period_ms / 1000.0
    if config.physics == 'simple':
        return SimpleWorld(model, period), NoEpisodes()
    try:
        from allegro_driver.emulator.episodes import TactileHold
        from allegro_driver.emulator.plant_world import PlantWorld
    except ModuleNotFoundError as error:
        raise MissingDependency(f'physics mujoco needs the package {error.name}: install it with '
                                '`pip install "allegro_driver[mujoco]"`, or use --physics simple') from error
    world = PlantWorld(model, period, config.seed)
    if model.name != EPISODES_FOR:
        return world, NoEpisodes(f'episodes are made for {EPISODES_FOR}; this is {model.name}')
    return world, TactileHold(model, world)
