"""Energy sources. One module each, found by name in :data:`METERS`; ``none`` is an honest answer."""

from __future__ import annotations

from allegro_description.plugins import Plugin, PluginTable

METERS = PluginTable('energy meter', {
    'powercap': Plugin('allegro_bench.meters.powercap:PowercapMeter'),
    'perf': Plugin('allegro_bench.meters.perf:PerfMeter'),
    'nvml': Plugin('allegro_bench.meters.nvml:NvmlMeter', ('pynvml',), "pip install 'allegro_bench[nvidia]'"),
    'ina3221': Plugin('allegro_bench.meters.ina3221:Ina3221Meter'),
    'hwmon': Plugin('allegro_bench.meters.hwmon:HwmonMeter'),
    'power_supply': Plugin('allegro_bench.meters.power_supply:PowerSupplyMeter'),
    'external': Plugin('allegro_bench.meters.external:ExternalMeter'),
    'csv': Plugin('allegro_bench.meters.power_log:CsvMeter'),
    'zeus': Plugin('allegro_bench.meters.zeus:ZeusMeter'),
    'estimate': Plugin('allegro_bench.meters.estimate:EstimateMeter'),
    'none': Plugin('allegro_bench.meters.none:NoMeter'),
}, 'allegro_bench.meters')
