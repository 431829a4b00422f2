"""A small data set of recordings of the emulated hand, made by ``python -m allegro_bench.dataset --output DIR``.

Each recording is a run of the demo: the real driver, touch, policy, profiler and recorder nodes, with the hand behind
the wire emulated. What goes wrong in it is injected into the emulator while an episode runs. The recorded bag is cut
to its episodes and written again in larger chunks, so that the whole set stays within a few megabytes; the messages
are those of the recorder, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from allegro_description.errors import AllegroError, ConfigError, LinkError
from allegro_driver.emulator.client import EmulatorClient

from allegro_bench.bags.folder import open_bag
from allegro_bench.bags.recording import Recording, read_recording
from allegro_bench.recording import BagWriter

CHUNK_BYTES = 1 << 20
MARGIN_NS = 500_000_000
ATTEMPTS = 4
LEFT_OUT = ('/wrench', 'motion', 'joint_trajectory')
"""Topics that can be computed from others, or are empty here."""
DATASHEET, CATALOGUE = 'README.md', 'dataset.json'


@dataclass(frozen=True, slots=True)
class Plan:
    """One recording: what is asked of the hand and what goes wrong.

    One more episode comes before the first and is cut off: while it runs, all nodes find each other.

    Attributes:
        name: of its folder.
        about: what is to be seen in it.
        seed: of the first episode.
        level: how hard the object is disturbed.
        episodes: how many.
        faults: (seconds into the last episode, fault, value, how long; None: to the end).
    """

    name: str
    about: str
    seed: int
    level: str = 'L2'
    episodes: int = 1
    faults: tuple[tuple[float, str, Any, float | None], ...] = ()


PLANS = (
    Plan('objects', 'three objects of other shape, mass and friction, disturbed as in the evaluation', 3, episodes=3),
    Plan('disturbances', 'pushes and turns of the hardest level', 21, 'L4'),
    Plan('slip', 'an object that slides and is dropped', 44, 'L4'),
    Plan('dead_taxel', 'from 2 s on the fingertip cell of the ring finger reads 0', 3,
         faults=((2.0, 'dead_taxel', 'ring_tip', None),)),  # at rest it reads well above 0, or nobody could tell
    Plan('link_fault', 'from 1.5 s on one unit in ten is lost for a second; at 4 s no sample comes for 0.3 s, and the '
         'driver takes the torque away', 3, faults=((1.5, 'drop', 0.1, 1.0), (4.0, 'stale', None, 0.3))),
)


def make(output: Path, plans: Sequence[Plan] = PLANS, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Make the set, or some of its recordings again; returns what :data:`CATALOGUE` holds.

    Raises:
        ConfigError: the folder exists, and all of the set was asked for.
        LinkError: a run failed.
    """
    made: dict[str, Any] = {'name': 'emulated_hand', 'licence': 'Apache-2.0', 'simulated': True, 'recordings': {}}
    if output.exists():
        if len(plans) == len(PLANS) or not (output / CATALOGUE).exists():
            raise ConfigError(f'{output} exists; choose another folder')
        made = json.loads((output / CATALOGUE).read_text(encoding='utf-8'))
    for plan in plans:
        made['recordings'][plan.name] = row = _good(plan, output / plan.name, say)
        say(f'{plan.name}: {row["seconds"]:.1f} s, {row["bytes"] / 1e6:.2f} MB; '
            f'{"; ".join(_words(e) for e in row["episodes"])}')
    made['bytes'] = sum(row['bytes'] for row in made['recordings'].values())
    (output / CATALOGUE).write_text(json.dumps(made, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')
    (output / DATASHEET).write_text(datasheet(made), encoding='utf-8')
    return made


def _good(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Record until nothing but the plan went wrong: a busy machine can starve a driver."""
    for attempt in range(ATTEMPTS):
        with tempfile.TemporaryDirectory() as scratch:
            cut(record(plan, Path(scratch) / 'run'), Path(scratch) / plan.name, plan)
            reason = spoiled(plan, read_recording(Path(scratch) / plan.name, hashes=False))
            if not reason:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(Path(scratch) / plan.name, folder)
                return describe(plan, folder)
        say(f'{plan.name}, attempt {attempt + 1}: {reason}')
    raise LinkError(f'{plan.name}: {reason}, {ATTEMPTS} times; try again on a machine with less to do')


def spoiled(plan: Plan, found: Recording) -> str:
    """Why a recording does not show what its plan says, or nothing."""
    if not {'policy_state', 'episodes', 'joint_states', 'diagnostics'} <= set(found.tracks):
        return 'the policy did not run'
    starts = [int(t) for t, e in zip(found.tracks['episodes'].received_ns, found.tracks['episodes'].events, strict=True)
              if e['event'] == 'started']
    if len(starts) != plan.episodes:
        return f'{len(starts)} of {plan.episodes} episodes were heard to start'
    cause = min((after_s for after_s, fault, *_ in plan.faults if fault in ('drop', 'stale')), default=float('inf'))
    for when, status in zip(found.tracks['diagnostics'].received_ns, found.tracks['diagnostics'].events, strict=True):
        early = (int(when) - starts[-1]) * 1e-9 < cause
        if early and status['name'].startswith('hand_driver') and 'fault' in status['message']:
            return f'the driver was in fault before anything went wrong ({status["message"]})'
    said = any(s['name'].startswith('hand_driver') and 'fault' in s['message']
               for s in found.tracks['diagnostics'].events)
    if not said and any(fault == 'stale' for _, fault, *_ in plan.faults):
        return 'the recording ended before the driver told of its fault'
    return ''


def record(plan: Plan, folder: Path) -> Path:
    """Run the demo once; returns its bag.

    Raises:
        LinkError: it failed; the message ends with what it said.
    """
    port = _free_port()
    options = {'viewer': 'false', 'episodes': plan.episodes + 1, 'seed': plan.seed - 1, 'level': plan.level,
               'control-port': port, 'output-dir': folder}
    command = [sys.executable, '-m', 'allegro_bringup.demo',
               *(word for name, value in options.items() for word in (f'--{name}', str(value)))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    over = threading.Event()
    helper = threading.Thread(target=_inject, args=(plan, port, over), daemon=True)
    helper.start()
    try:
        said, _ = child.communicate(timeout=120.0 + 20.0 * plan.episodes)
    except subprocess.TimeoutExpired:
        child.terminate()
        said, _ = child.communicate()
    finally:
        over.set()
        helper.join(5.0)
    bag = folder / 'bag'
    if not bag.is_dir():
        raise LinkError(f'the recording {plan.name} failed: {" ".join(said.split())[-600:]}')
    return bag


def _inject(plan: Plan, port: int, over: threading.Event) -> None:
    """Wait for the last episode, then cause the faults of the plan at their times."""
    with EmulatorClient('127.0.0.1', port, timeout_s=0.5) as emulator:
        while plan.faults and not over.wait(0.02):
            try:
                episode = emulator.request('status')['episode']
                if episode['state'] == 'running' and episode['index'] > plan.episodes:
                    break
            except (AllegroError, OSError):
                continue
        begin = time.monotonic() - (float(episode['clock_s']) if plan.faults and not over.is_set() else 0.0)
        for after_s, fault, value, lasts_s in plan.faults:
            if over.wait(max(0.0, begin + after_s - time.monotonic())):
                return
            emulator.request('inject', fault=fault, value=value, duration_s=lasts_s)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(('127.0.0.1', 0))
        return int(found.getsockname()[1])


def cut(source: Path, target: Path, plan: Plan) -> None:
    """Write a bag again: its episodes with a margin, without what can be computed from the rest."""
    recording = read_recording(source, kinds=('episodes', 'joint_states'), hashes=False)
    begin, end = recording.begin_ns, recording.end_ns
    if 'episodes' in recording.tracks:
        track = recording.tracks['episodes']
        wanted = [int(t) for t, event in zip(track.received_ns, track.events, strict=True)
                  if event.get('index', 0) > 1]
        if wanted:
            begin, end = wanted[0] - MARGIN_NS, wanted[-1] + MARGIN_NS
    bag = open_bag(source)
    told = {'simulated': 'true', 'dataset': 'emulated_hand', 'about': plan.about, 'seed': str(plan.seed),
            'level': plan.level, 'faults': json.dumps(plan.faults)}
    try:
        with BagWriter(target, dict(bag.facts) | told, CHUNK_BYTES) as writer:
            for topics, rows in bag.blocks():
                for key, received, sent, data in rows:
                    topic = topics[key]
                    if not begin <= received <= end or any(part in topic.name for part in LEFT_OUT):
                        continue
                    writer.add_defined(topic.name, topic.type, topic.definition,
                                       topic.facts.get('topic_type_hash', ''),
                                       yaml.safe_load(topic.facts.get('offered_qos_profiles') or '[]'))
                    writer.write(topic.name, bytes(data), received, sent)
    finally:
        bag.close()


def describe(plan: Plan, bag: Path) -> dict[str, Any]:
    """What the catalogue says about a recording: from reading it, not from the plan."""
    found = read_recording(bag)
    files = sorted(bag.iterdir())
    return {
        'about': plan.about, 'seed': plan.seed, 'level': plan.level, 'faults': plan.faults, 'hand': found.sources.hand,
        'policy': found.sources.metadata.get('policy', ''), 'seconds': round(found.duration_s, 3),
        'bytes': sum(p.stat().st_size for p in files),
        'sha256': {p.name: sha256(p.read_bytes()).hexdigest() for p in files},
        'joint_states_hz': round(len(found.tracks['joint_states']) / max(found.duration_s, 1e-9), 1),
        'messages': {s.topic: s.count for s in found.sources.streams}, 'damage': found.damage,
        'episodes': _episodes(found),
    }


def _episodes(found: Recording) -> list[dict[str, Any]]:
    track = found.tracks.get('episodes')
    keys = ('seed', 'shape', 'mass_kg', 'friction', 'grip_class', 'held', 'success', 'dropped_at_s', 'slip_mm')
    ended = [e for e in (track.events if track else ()) if e['event'] in ('finished', 'dropped')]
    return [{key: e[key] for key in keys if key in e} for e in
            {e.get('index'): e for e in ended}.values()]


def _words(episode: Mapping[str, Any]) -> str:
    slid = episode.get('slip_mm')
    return (f'{episode.get("shape")} {episode.get("mass_kg", 0.0):.2f} kg: '
            f'{"held" if episode.get("held") else "not held"}'
            + (f', slid {slid:.0f} mm' if isinstance(slid, (int, float)) else ''))


def datasheet(made: Mapping[str, Any]) -> str:
    """What somebody has to know who uses the set and was not there."""
    rows = []
    for name, row in made['recordings'].items():
        ends = '; '.join(_words(e) for e in row['episodes']) or 'no episode came to its end'
        rows.append(f'| `{name}` | {row["about"]} | {row["seconds"]:.1f} s | {row["bytes"] / 1e6:.2f} MB | {ends} |')
    rates = ', '.join(sorted({f'{row["joint_states_hz"]:.0f}' for row in made['recordings'].values()}))
    policies = ', '.join(sorted({row['policy'] for row in made['recordings'].values() if row['policy']}))
    return f"""# Recordings of an emulated Allegro Hand V5 Sense

**Simulated.** No hand was touched. The driver, touch, policy and recorder nodes of this suite were the real ones; what
answered them on the wire was the suite's emulator: 16 joints and 16 taxels in MuJoCo, with the latency, quantisation,
noise and faults of its documentation. What its touch and friction are worth for a real hand nobody has measured.

| recording | what is to be seen | length | size | episodes |
|---|---|---|---|---|
{chr(10).join(rows)}

- **Why**: tests and examples of reading, replay and export, with things in it that go wrong.
- **Who moved the hand**: policy {policies or 'unknown'}; no person, no operator, no personal data.
- **Contents**: rosbag2 folders (MCAP, metadata version 9): joint states and touch at {rates} Hz, commands, everything
  that went into and came out of the policy (`grasp_policy/policy_state`), inference times, episode events, object pose,
  gravity, diagnostics. Left out: wrenches, which follow from the rest. Parameters of all nodes, serial
  number and the hash of the policy lie in each bag's metadata.
- **How it was made**: `python -m allegro_bench.dataset --output DIR`. Objects and disturbances follow from the seeds;
  times of a real-time run do not repeat, so a second run differs in its bytes.
- **Not for**: training, or claims about real hands. {len(made['recordings'])} recordings are no sample of anything.
- **Licence**: {made['licence']}. `{CATALOGUE}` lists hashes, counts, seeds and faults.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 2 after one sentence."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.dataset', description=__doc__.split('\n')[0])
    parser.add_argument('--output', type=Path, required=True, metavar='DIR', help='folder of the set; must not exist')
    parser.add_argument('--only', metavar='NAME', choices=[p.name for p in PLANS],
                        help='one recording of it, again where the set exists')
    given = parser.parse_args(arguments)
    try:
        made = make(given.output, [p for p in PLANS if given.only in (None, p.name)])
    except AllegroError as error:
        print(error, file=sys.stderr)
        return 2
    print(f'{given.output}: {len(made["recordings"])} recordings, {made["bytes"] / 1e6:.1f} MB')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
