"""``allegro-replay``: a recording to the real policy node and profiler, without ``ros2 launch``.

The same processes as ``replay.launch.py``, in a ROS domain of their own on this machine, until the recording is over.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allegro_ai.backends import BACKENDS
from allegro_ai.bundle import load_bundle
from allegro_bench.playing.source import open_source
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand

from allegro_bringup.arguments import ReplayArgs, add_options, from_texts
from allegro_bringup.environment import child_environment, free_domain_id, free_port
from allegro_bringup.outcome import remarks, replay_rows
from allegro_bringup.progress import Progress, bar, table
from allegro_bringup.replaying import replay_graph
from allegro_bringup.runs import with_output_dir
from allegro_bringup.session import RunFailed, Session, StopRequest, as_command

ABOUT = """Plays a recording to the real policy node in shadow mode and to the profiler, with the recording's own time;
no hand is commanded. The same processes as replay.launch.py, without ros2 launch. Ends with a table and a folder
runs/<time> with report and result. What a policy would have done is judged by: allegro-bench replay."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 0 after a complete run, 130 after an interrupted, 1 or 2 after a failed one."""
    return as_command('allegro-replay', lambda request: play(
        with_output_dir(parse(arguments)), Progress(sys.stdout), request))


def parse(arguments: Sequence[str] | None) -> ReplayArgs:
    """Read the command line; its options are the arguments of ``replay.launch.py``, the bag comes first.

    Raises:
        ConfigError: a value that is not allowed.
    """
    parser = argparse.ArgumentParser(prog='allegro-replay', description=ABOUT)
    parser.add_argument('recording', nargs='?', default='', help='folder or file of the bag')
    add_options(parser, ReplayArgs, {})
    texts = vars(parser.parse_args(arguments))
    recording = texts.pop('recording')
    if recording and texts['bag']:
        raise ConfigError('two recordings are named; give one, as the first word or with --bag')
    args = from_texts(ReplayArgs, {**texts, 'bag': recording or texts['bag']})
    return dataclasses.replace(args, viewer_port=free_port(args.viewer_port, socket.SOCK_STREAM))


def play(args: ReplayArgs, progress: Progress, request: StopRequest) -> int:
    """Start, watch, stop, report. Returns the exit code.

    Raises:
        AllegroError: bag, bundle or backend cannot be used, a process failed, or it was interrupted.
    """
    specs = replay_graph(args)
    load_bundle(args.policy, load_hand(args.model, args.side))  # its node would try again for ever
    BACKENDS.load(args.backend)
    length = open_source(Path(args.bag).expanduser()).duration_s
    folder = Path(args.output_dir)
    session = Session(folder, child_environment(free_domain_id()), request, lambda: None)
    progress.status('starting …')
    try:
        session.start(specs)
        progress.line(f'{len(session.children)} processes run; logs: {folder / "logs"}')
        if args.viewer:
            progress.line(f'see the hand in a browser: http://127.0.0.1:{args.viewer_port}')
        _watch(session, progress, 0.0 if args.loop else (length - args.start) / args.rate)
        session.finish(lambda: progress.status('writing the report …'))
    except BaseException:
        progress.line('stopping …')
        session.hurry()
        raise
    request.check()
    return _report(args, session, progress)


def _watch(session: Session, progress: Progress, total_s: float) -> None:
    begin = time.monotonic()
    while not session.through():
        for child in session.check():
            if not child.spec.required:
                progress.line(f'{child.name} ended, the run goes on; its log: {child.log}')
        elapsed = time.monotonic() - begin
        progress.status(f'{bar(elapsed, total_s)} {elapsed:3.0f} s' + (f' of {total_s:.0f} s' if total_s else ''))
        time.sleep(0.1)


def _report(args: ReplayArgs, session: Session, progress: Progress) -> int:
    folder = Path(args.output_dir)
    if args.profile:
        path = folder / 'result.json'
        if not path.is_file():
            log = session.children['inference_profiler'].log
            raise RunFailed(f'inference_profiler wrote no {path}; its log: {log}')
        result: dict[str, Any] = json.loads(path.read_text())
        progress.line()
        progress.line(table(replay_rows(result)))
        for remark in remarks(result):
            progress.line(f'  note: {remark}')
    progress.line()
    for name in ('report.html', 'result.json', 'logs'):
        if (folder / name).exists():
            progress.line(f'  {folder / name}')
    if session.killed:
        raise RunFailed(f'had to be killed: {", ".join(session.killed)}; see {folder / "logs"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
