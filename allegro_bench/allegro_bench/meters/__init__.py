"""Energy sources. One module each, found by name in :data:`METERS`; ``none`` is an honest answer."""

from __future__ import annotations

from allegro_description.plugins import Plugin, PluginTable

METERS = PluginTable('energy meter', {
    'powercap': Plugin('allegro_bench.meters.powercap:PowercapMeter'),
    'none': Plugin('allegro_bench.meters.none:NoMeter'),
}, 'allegro_bench.meters')
