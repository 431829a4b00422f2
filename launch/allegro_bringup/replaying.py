"""Which processes replay a recording: the player in place of the hand, and what listens to it."""

from __future__ import annotations

from typing import Any

from allegro_description.config import Value
from allegro_description.errors import ConfigError

from allegro_bringup.arguments import ReplayArgs
from allegro_bringup.graph import NodeSpec, Spec, params_files


def replay_graph(args: ReplayArgs) -> tuple[Spec, ...]:
    """Return the policy in shadow mode, profiler and viewer on simulated time, and the player that keeps it.

    Raises:
        ConfigError: no bag given, or a parameter file that does not exist.
    """
    if not args.bag:
        raise ConfigError('bag is empty; give the folder of a recording, e.g. bag:=runs/2026-01-31_10-00-00/bag')
    shared: dict[str, Any] = {'namespace': args.namespace.strip('/'), 'params_files': params_files(args.params_file),
                              'log_level': args.log_level}
    hand: dict[str, Value] = {'model': args.model, 'side': args.side, 'prefix': args.prefix, 'use_sim_time': True}
    policy = {**hand, 'policy': args.policy, 'backend': args.backend, 'mode': 'shadow', 'autostart': True}
    specs: list[Spec] = [NodeSpec('allegro_ai', 'grasp_policy', parameters=policy, in_loop=True, **shared)]
    live = ['grasp_policy']
    if args.profile:
        if not args.output_dir:
            raise ConfigError('output_dir is empty; give the folder that report and result go to')
        specs.append(NodeSpec('allegro_bench', 'inference_profiler', writes_files=True, **shared,
                              parameters={**hand, 'output_dir': args.output_dir}))
        live.append('inference_profiler')
    if args.viewer:
        specs.append(NodeSpec('allegro_description', 'hand_viewer', required=False, **shared,
                              parameters={**hand, 'port': args.viewer_port}))
    player: dict[str, Value] = {
        'bag': args.bag, 'rate': args.rate, 'loop': args.loop, 'start_s': args.start, 'live': tuple(live),
        'from_namespace': args.from_namespace, 'drive': True, 'commands': False}
    specs.append(NodeSpec('allegro_bench', 'bag_player', parameters=player, ends_run=True, **shared))
    return tuple(specs)
