"""Two hands: each the graph of one hand, with namespace, prefix and ports of its own."""

from __future__ import annotations

import math

from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from allegro_description.share import share_dir

from allegro_bringup.arguments import DualArgs, HandArgs
from allegro_bringup.graph import NodeSpec, Spec, hand_graph, state_publisher

WORLD = 'world'
"""Frame that both palms hang on."""


def dual_graph(args: DualArgs) -> tuple[Spec, ...]:
    """Return the processes of both hands, and RViz for the two.

    Raises:
        UnknownName, ConfigError: as :func:`~allegro_bringup.graph.hand_graph`; also equal namespaces or addresses, or a
            mount that is not six numbers.
    """
    right, left = hands(args)
    if right.namespace == left.namespace:
        raise ConfigError(f'both hands have the namespace {right.namespace!r}; give them different ones')
    if not args.emulate and right.address == left.address and right.model == left.model:
        raise ConfigError(
            f'both hands are at {right.address or "the factory address"}; set right_address and left_address')
    specs = [*hand_graph(right), *hand_graph(left)]
    if args.rviz:
        for hand, text in ((right, args.right_mount), (left, args.left_mount)):
            specs.append(state_publisher(hand, WORLD, mount(text)))
        config = share_dir('allegro_bringup') / 'rviz' / 'dual_hand.rviz'
        specs.append(NodeSpec(
            'rviz2', 'rviz2', parameters={'use_sim_time': args.use_sim_time}, arguments=('-d', str(config)),
            log_level=args.log_level, required=False))
    return tuple(specs)


def hands(args: DualArgs) -> tuple[HandArgs, HandArgs]:
    """Return the arguments of either hand.

    Raises:
        UnknownName: no such hand.
    """
    shared = {name: getattr(args, name) for name in (
        'emulate', 'enable', 'params_file', 'viewer', 'use_sim_time', 'autostart', 'retry', 'log_level')}
    result = []
    for k, which in enumerate(('right', 'left')):
        own = {name: getattr(args, f'{which}_{name}') for name in (
            'model', 'side', 'transport', 'address', 'confirmed')}
        load_hand(own['model'], own['side'])
        namespace = getattr(args, f'{which}_namespace').strip('/')
        result.append(HandArgs(
            **own, **shared, namespace=namespace, prefix=namespace.replace('/', '_') + '_',
            wire_port=args.wire_port + 3 * k, control_port=args.wire_port + 3 * k + 1,
            local_port=args.wire_port + 3 * k + 2, viewer_port=args.viewer_port + k))
    return result[0], result[1]


def mount(text: str) -> tuple[float, ...]:
    """Read a pose: x y z in m, roll pitch yaw in rad.

    Raises:
        ConfigError: not six finite numbers.
    """
    try:
        values = tuple(float(word) for word in text.replace(',', ' ').split())
    except ValueError:
        values = ()
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise ConfigError(f'mount is {text!r}; allowed: six numbers x y z roll pitch yaw, e.g. "0 0.15 0 0 0 0"')
    return values
