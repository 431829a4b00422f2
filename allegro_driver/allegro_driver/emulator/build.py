"""Put an emulator together from its settings."""

from __future__ import annotations

from collections.abc import Iterable

from allegro_description.errors import ConfigError, MissingDependency
from allegro_description.model import HandModel, load_hand

from allegro_driver.emulator.config import EmulatorConfig
from allegro_driver.emulator.faults import FaultSet, split
from allegro_driver.emulator.hand import EmulatedHand
from allegro_driver.emulator.server import EmulatorServer
from allegro_driver.emulator.world import Episodes, NoEpisodes, SimpleWorld, World


def build_emulator(config: EmulatorConfig, faults: Iterable[str] = ()) -> EmulatorServer:
    """Build the server of one emulated hand; its sockets are still closed.

    Args:
        config: settings.
        faults: faults active from the start, each ``name[=value]``.

    Raises:
        AllegroError: a setting, fault or package is wrong or missing; one sentence says which.
    """
    model = load_hand(config.model, config.side)
    if model.protocol.get('udp', {}).get('codec') != 'v5b2':
        raise ConfigError(f'{model.name} does not speak V5B2 over UDP, the one protocol emulated so far')
    active = FaultSet(model, config.seed)
    for text in faults:
        active.inject(*split(text))
    world, episodes = _world(model, config)
    return EmulatorServer(config, EmulatedHand(model, world, active, config), episodes, active)


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
    return world, TactileHold(model, world, period)
