"""Can the quality gate fail? The policy in fp32 and int8, an int8 with one wrong scale, and an fp32 that is too slow.

``python -m allegro_bench.evidence.quality_gate`` measures the policy in ONNX Runtime in both precisions (or takes a
``--result`` of ``allegro-bench run``), plants the damaged and the delayed candidate, plays as many pairs of episodes
as 3 points ask for, and prints the table. Exit code 0 only if both planted candidates fail. Simulated. Stopped, it
goes on where it was when it is given the same ``--output`` again.

A bundle that records no tolerance for the int8 precision cannot be measured in it, so a copy with the measured one is
made beside the result; the bundle itself is left alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from allegro_ai.archive import write_folder
from allegro_ai.bundle import Bundle, load_bundle
from allegro_ai.evaluation.progress import Bar
from allegro_ai.export import amended
from allegro_description.errors import AllegroError, ConfigError
from allegro_description.model import HandModel, load_hand

from allegro_ai import golden
from allegro_bench.quality import outcome, planted
from allegro_bench.quality.candidates import candidate, measured
from allegro_bench.quality.closed_loop import Scene
from allegro_bench.quality.episode_file import points
from allegro_bench.quality.gate import Gate, Judged, Settings
from allegro_bench.quality.kept import Kept
from allegro_bench.quality.noninferiority import FAIL
from allegro_bench.quality.rows import environment
from allegro_bench.results import document as results

FP32 = 'onnxruntime/fp32'
ROOM = 1.5
"""The tolerance of the copy is so many times the measured difference."""


def with_tolerance(bundle: Bundle, precision: str, folder: Path, hand: HandModel) -> Bundle:
    """The bundle, or a copy of it that records how far this precision is off.

    Raises:
        BundleError: the precision cannot be made of it.
    """
    key = f'onnxruntime/{precision}'
    if key in bundle.contract['golden'].get('tolerances', {}):
        return bundle
    if not (folder / 'policy.yaml').is_file():
        policy = bundle.unchecked('onnxruntime', precision)
        worst = golden.check(policy, bundle.arrays(golden.FILE), bundle.inputs, float('inf'), extras=policy.extras)
        print(f'{bundle.name} records no tolerance for {key}; measured on its golden vectors: {worst:.3g}')
        write_folder(amended(bundle.files, lambda d: d['golden'].setdefault('tolerances', {}).update(
            {key: ROOM * worst})), folder)
    return load_bundle(folder, hand)


def times(policy: Path, precision: str, folder: Path, blocks: int, block_s: float) -> None:
    """Measure both precisions; the result lies in ``folder``.

    Raises:
        ConfigError: nothing came of it.
    """
    if (folder / results.RESULT_FILE).is_file():
        return
    subprocess.run([sys.executable, '-m', 'allegro_bench.cli', 'run', str(policy), '--backends',
                    f'{FP32},onnxruntime/{precision}', '--blocks', str(blocks), '--block-s', str(block_s), '--meter',
                    'none', '--quiet', '--output', str(folder)], check=False)
    if not (folder / results.RESULT_FILE).is_file():
        raise ConfigError('allegro-bench run left no result; its words above say why')


def as_dict(one: Judged, settings: Settings) -> dict[str, Any]:
    """A candidate in the file of this command."""
    found, counts = one.difference, one.counts
    facts: dict[str, Any] = {'name': one.candidate.name, 'planted': one.candidate.planted, 'problem': one.problem,
                             'graph_sha256': one.candidate.sha256, 'responses': one.candidate.source,
                             'deviation': None if one.deviation is None else one.deviation.section()}
    if found is not None and counts is not None:
        facts |= {'pairs': found.n, 'success_ref': counts.both + counts.only_a,
                  'success_cand': counts.both + counts.only_b, 'only_ref': found.b, 'only_cand': found.c,
                  'diff_pp': points(found), 'mcnemar_p': counts.p, 'verdict': found.verdict(settings.margin)}
    return facts


def main(args: Sequence[str] | None = None) -> int:
    """Measure, plant, play, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog='python -m allegro_bench.evidence.quality_gate',
                                     description='Planted candidates have to fail the quality gate (simulated).')
    parser.add_argument('--policy', default='tactile_hold_linear', help='bundle (default: %(default)s)')
    parser.add_argument('--result', type=Path, metavar='DIR', help='response times of this result (default: measure)')
    parser.add_argument('--precision', default='int8_dynamic', choices=('int8_dynamic', 'int8_static'),
                        help='default: %(default)s')
    parser.add_argument('--delay-ms', type=float, default=100.0, metavar='MS',
                        help='how much slower the delayed candidate is; it has to fail as it runs on a hand, and is '
                             'shown with a loop that never gives up too (default: %(default)g)')
    parser.add_argument('--damage', type=float, default=0.0625, metavar='FACTOR',
                        help='of the scale of the largest weight tensor (default: %(default)s)')
    parser.add_argument('--episodes', type=int, metavar='N', help='pairs (default: as 3 points ask for)')
    parser.add_argument('--object-set', default='H2', help='default: %(default)s')
    parser.add_argument('--level', default='L2', help='default: %(default)s')
    parser.add_argument('--workers', type=int, default=2, help='processes (default: %(default)s)')
    parser.add_argument('--blocks', type=int, default=3, help='measured blocks per precision (default: %(default)s)')
    parser.add_argument('--block-s', type=float, default=10.0, help='their length (default: %(default)s)')
    parser.add_argument('--measure-only', action='store_true', help='measure the response times, and stop')
    parser.add_argument('--output', type=Path, default=Path('runs/quality_gate'), help='default: %(default)s')
    given = parser.parse_args(args)
    try:
        return _carry_out(given)
    except AllegroError as error:
        print(f'quality_gate: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('quality_gate: stopped; the same command goes on', file=sys.stderr)
        return 130


def _carry_out(given: argparse.Namespace) -> int:
    settings = Settings(episodes=given.episodes, workers=given.workers).checked()
    hand = load_hand('v5_sense', 'right')
    given.output.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(given.policy, hand)
    short = bundle.fingerprint[:12]
    folder = given.result or given.output / f'times_{short}_{given.precision}'
    if given.result is None:
        bundle = with_tolerance(bundle, given.precision, given.output / f'policy_{short}_{given.precision}', hand)
        times(bundle.path, given.precision, folder, given.blocks, given.block_s)
    if given.measure_only:
        return 0
    document = results.load(folder)
    measured(document, bundle)
    fp32, int8 = (candidate(document, folder, name, bundle) for name in (FP32, f'onnxruntime/{given.precision}'))
    bad = planted.damaged_int8(int8, given.damage)
    slow, patient = (planted.delayed(fp32, given.delay_ms, limited=limited) for limited in (True, False))
    scene = Scene('v5_sense', 'right', str(bundle.path), bundle.fingerprint, given.object_set, given.level)
    gate = Gate(bundle, scene, [fp32, int8, bad, slow, patient], settings)
    gate.look()
    print(f'{bundle.name}, {environment(scene, settings)["name"]}, simulated\n')
    print(outcome.open_table(gate.judged))
    total, seconds = gate.planned()
    print(f'\nplan: {settings.first} pairs, {total} episodes'
          + ('' if seconds is None else f', about {seconds / 60:.0f} min with {settings.workers} processes'),
          flush=True)
    with Kept(given.output) as kept, Bar('quality') as bar:
        gate.play(bar.show, kept)
    print('\n' + outcome.closed_table(gate.judged, gate.reference.name, settings))
    facts = {'policy': {'name': bundle.name, 'sha256': bundle.fingerprint}, 'env': environment(scene, settings),
             'margin_pp': 100.0 * settings.margin, 'candidates': [as_dict(one, settings) for one in gate.judged]}
    (given.output / 'quality_gate.json').write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
    must = [one for one in gate.judged if one.candidate in (bad, slow)]
    caught = [one.difference is not None and one.difference.verdict(settings.margin) == FAIL for one in must]
    for one, ok in zip(must, caught, strict=True):
        print(f'{"fails, as it has to" if ok else "DOES NOT FAIL"}: {one.candidate.name}')
    return 0 if all(caught) else 1


if __name__ == '__main__':
    sys.exit(main())
