"""``allegro-bench view BAG``: a recording in the browser."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path
from typing import Any

from allegro_description.errors import ConfigError, UnknownName

EPILOG = """Nothing here needs ROS or a hand, and nothing is sent anywhere: the page is served on 127.0.0.1 only.
What nodes say of themselves they say once a second, so faults, phases and warnings are listed up to a second late.
Ctrl-C ends it."""


def add_commands(commands: Any) -> None:
    """Register the sub-command."""
    words = 'look at a recording in the browser: hand, touch, time line, what happened when'
    command = commands.add_parser('view', help=words, description=words, epilog=EPILOG,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument('bag', type=Path, metavar='BAG', help='folder of a bag, or one .mcap or .db3 file')
    command.add_argument('--port', type=int, default=8090,
                         help='TCP port on 127.0.0.1, 0 for the next free one from 8080 on (default: %(default)s)')
    command.add_argument('--profile', default='auto', help='names and units of its topics (default: %(default)s)')
    command.add_argument('--hand', default='', help='e.g. v5_sense_left, where the recording does not say')
    command.add_argument('--namespace', metavar='NS', help='of the hand, where the recording holds several')
    command.add_argument('--at', type=float, default=0.0, metavar='SECONDS', help='where to begin')
    command.add_argument('--policy-state', default='', metavar='TERM',
                         help='term of the recorded policy state that is plotted first, e.g. tactile_tip_pressure')
    command.add_argument('--events', action='store_true', help='only print what happened when, and end')
    command.set_defaults(run=_view)


def _view(given: argparse.Namespace) -> int:
    from allegro_bench.bags.recording import read_recording
    from allegro_bench.viewing.objects import read_meshes
    from allegro_bench.viewing.timeline import KINDS, Timeline

    if not 0 <= given.port <= 65535:
        raise ConfigError(f'--port is {given.port}; allowed: 0 to 65535')
    recording = read_recording(given.bag, given.profile, hand=given.hand, namespace=given.namespace, kinds=KINDS,
                               hashes=False)
    thing = recording.tracks.get('object')
    timeline = Timeline(recording, read_meshes(given.bag, thing.topic) if thing is not None else None)
    if not 0 <= given.at <= timeline.duration_s:
        raise ConfigError(f'--at is {given.at:g}; the recording lasts {timeline.duration_s:.3f} s, allowed: 0 to that')
    if given.events:
        return _list(timeline)
    return _show(given, timeline)


def _list(timeline: Any) -> int:
    from allegro_bench.viewing.events import events
    from allegro_bench.viewing.markup import clock

    for event in events(timeline):
        print(f'{clock(event.at_s, 3):>10}  {event.kind:8} {event.level:8} {event.text}')
    return 0


def _show(given: argparse.Namespace, timeline: Any) -> int:
    from allegro_description.viewer import load

    terms = dict.fromkeys(name.partition('/')[0] for name in getattr(timeline.tracks.get('policy_state'), 'names', ()))
    if given.policy_state and given.policy_state not in terms:
        raise UnknownName('term of the policy state', given.policy_state, list(terms))
    load('page')  # says how to install what it needs
    from allegro_bench.viewing.screen import Screen

    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
    screen = Screen(timeline, given.port, given.policy_state)
    try:
        screen.playhead.seek(given.at, 0.0)
        print(f'{given.bag}: {timeline.duration_s:.1f} s, {len(screen.events)} events: {screen.url} (Ctrl-C ends it)',
              flush=True)
        screen.run(stop)
    finally:
        screen.close()
    return 0
