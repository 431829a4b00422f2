"""From training runs of SlipArrest to a bundle: every seed of both arms beside what was not learnt, the median ships.

The median is taken by success on validation episodes of training objects; the rows of the card are other episodes.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

from allegro_ai import golden, ood
from allegro_ai.bundle import Bundle
from allegro_ai.evaluation.intervals import paired_difference
from allegro_ai.evaluation.slip import Entrant, evaluate_slip
from allegro_ai.evaluation.slip_hold import hold_alarms
from allegro_ai.export import policy_contract, write_bundle
from allegro_ai.grasp import GraspSpec
from allegro_ai.observation import ObservationSpec
from allegro_ai.tasks.lanes import STEPS
from allegro_ai.tasks.slip_arrest import VERSION, SlipArrest
from allegro_ai.tasks.slip_grips import grips_of
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.layout import make_layout
from allegro_ai.training.publish import GOLDEN_SEQUENCES, GOLDEN_STEPS, SEEDS_PER_ARM, commit
from allegro_ai.training.slip_graph import NEXT, SLIP, STATE, build_slip_onnx
from allegro_ai.training.slip_policy import SlipRun, load_student, student_policy, student_terms

BASELINES = (
    Entrant('keep the grip', 'slip_keep'), Entrant('full squeeze', 'squeeze', {'share': 1.0}),
    *(Entrant(f'threshold {rate:g}', 'slip_threshold', {'rate': rate}) for rate in (0.2, 0.35)),
    Entrant('oracle (sees event and grip)', 'slip_oracle'),
)
FIXED = tuple(b.name for b in BASELINES[:-1])
VALIDATION_FROM, VALIDATION_SEEDS = 9_990_000, 160
THRESHOLD = 0.5
HOLD_LEVEL, HOLD_EPISODES = 'L2', 150
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A run and the file it lies in."""

    path: Path
    run: SlipRun

    @property
    def name(self) -> str:
        """In tables."""
        return f'student, {"with" if self.run.touch else "without"} touch, seed {self.run.seed}'

    @property
    def entrant(self) -> Entrant:
        """Its row."""
        return Entrant(self.name, 'slip_student', {'path': str(self.path.resolve())})


def students(paths: Sequence[Path], hand: HandModel) -> list[Student]:
    """Read runs.

    Raises:
        ConfigError: no such run, one twice, or an arm without any.
    """
    found = [Student(path, load_student(path, hand)) for path in sorted(paths)]
    names = [s.name for s in found]
    if len(set(names)) < len(names):
        raise ConfigError(f'{next(n for n in names if names.count(n) > 1)} is given twice; each run counts once')
    for touch in (True, False):
        if not any(s.run.touch == touch for s in found):
            raise ConfigError(f'no student {"with" if touch else "without"} touch; both arms are needed: '
                              'allegro-ai train slip_arrest')
    return found


def publish_slip(
    folder: Path, hand: HandModel, found: Sequence[Student], workers: Workers, *, seeds: int, object_set: str = 'H2',
    version: str = '0.1.0', replace_existing: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Bundle:
    """Evaluate all students beside the baselines and write the bundle of the median student with touch.

    Args:
        folder: the bundle's folder; its name is the bundle's name.
        hand: the hand.
        found: students of both arms.
        workers: processes that run the episodes.
        seeds: test seeds drawn; those whose event asks nothing of a grip drop out.
        object_set: test objects.
        version: of the bundle.
        replace_existing: overwrite the folder.
        progress: called with a word, pieces done and pieces in all.
    """
    def known(first: int, count: int, objects: str) -> Mapping[int, Any]:
        return grips_of(hand, range(first, first + count), objects, workers,
                        progress=lambda done, total: progress(f'least grips, {objects}', done, total))

    worth = evaluate_slip(hand, [s.entrant for s in found], known(VALIDATION_FROM, VALIDATION_SEEDS, 'train'), workers,
                          object_set='train', threshold=THRESHOLD,
                          progress=lambda done, total: progress('validation', done, total))
    success = {row['name']: float(row['success']['rate']) for row in worth['rows']}
    shipped, blind = (_median([s for s in found if s.run.touch == touch], success) for touch in (True, False))
    rows = [*BASELINES, *(s.entrant for s in found)]
    document = evaluate_slip(hand, rows, known(0, seeds, object_set), workers, object_set=object_set,
                             threshold=THRESHOLD, progress=lambda done, total: progress(object_set, done, total))
    actor = Entrant('open loop by grip', 'open_loop_by_grip')
    alarms = hold_alarms(hand, rows, actor, workers, seeds=range(HOLD_EPISODES), level=HOLD_LEVEL,
                         object_set=object_set, threshold=THRESHOLD,
                         progress=lambda done, total: progress('TactileHold', done, total))
    layout = make_layout(hand, student_terms(True), 1)
    acting = student_policy(hand, layout, shipped.run.weights)
    spec = ObservationSpec()
    contract = policy_contract(
        hand, inputs=layout.terms, steps=1, name=folder.name, version=version, observation=spec, grasp=GraspSpec(),
        normalisation='pressures p / (p + 10 kPa), then mean and spread of training observations, bounded to ±5',
        states=({'name': STATE, 'shape': [1, shipped.run.hidden], 'init': 'zeros', 'output': NEXT},),
        headline=_headline(document, shipped.name, blind.name),
        provenance={
            'simulator': f'mujoco {metadata.version("mujoco")}', 'env': VERSION, 'commit': commit(),
            'steps': int(shipped.run.episodes * STEPS), 'seed': shipped.run.seed,
            'wall_s': round(shipped.run.seconds, 1), 'cpu': f'{platform.machine()}, {workers.count} processes',
            'randomisation': 'train.yaml', 'touch_used': True})
    contract['action']['in_graph'] = ['sigmoid']
    contract['extra_outputs'] = [{
        'name': SLIP, 'kind': 'probability/slip', 'unit': '1', 'shape': [1], 'elements': ['object'], 'range': [0, 1],
        'threshold': THRESHOLD,
        'definition': 'the mass centre of the object moved faster than 5 mm/s against the palm within the last 60 ms'}]
    return write_bundle(
        folder, hand, contract, build_slip_onnx(hand, layout, shipped.run.weights),
        golden_arrays=golden.record(
            acting, golden.random_observations(hand, spec, GOLDEN_SEQUENCES, GOLDEN_STEPS), layout.terms),
        ood_arrays=ood.fit(_observations(hand, acting, known(VALIDATION_FROM, VALIDATION_SEEDS, 'train'))),
        evaluation=_sheet(document, alarms, found, success, shipped, blind),
        train={'kind': 'slip_student', 'config': dict(shipped.run.settings), 'curve': shipped.run.curve,
               'teacher': 'allegro_ai.tasks.slip_policies.Oracle', 'object_set': 'train',
               'randomisation': 'allegro_ai.tasks.randomisation and allegro_description.simulation.tactile'},
        replace=replace_existing)


def _median(arm: Sequence[Student], success: Mapping[str, float]) -> Student:
    """The run of an arm with the (lower) median of success."""
    ordered = sorted(arm, key=lambda s: (success[s.name], s.run.seed))
    return ordered[(len(ordered) - 1) // 2]


def _observations(hand: HandModel, acting: Any, known: Mapping[int, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """What the student sees in training episodes: every tenth step, since neighbours are nearly the same."""
    from allegro_description.simulation.slip import SlipEpisode

    seen: list[dict[str, Any]] = []
    seeds = sorted(known)

    def watch(lanes: Any, which: Any, observation: Any, action: Any) -> None:
        if int(lanes.clock.max()) % 10 == 0:
            seen.append({name: value[which] for name, value in observation.items()})

    SlipArrest(hand, [SlipEpisode(hand, s, 'train') for s in seeds], [known[s] for s in seeds]).run(acting, watch=watch)
    return {name: np.concatenate([o[name] for o in seen]) for name in seen[0]}


def _rows(document: Mapping[str, Any]) -> dict[str, Any]:
    return {row['name']: row for row in document['rows']}


def _gain(document: Mapping[str, Any], a: str, b: str) -> dict[str, Any]:
    """Paired difference of success, ``a - b``."""
    first, second = (np.array([bool(e['success']) for e in _rows(document)[name]['episodes']], dtype=float)
                     for name in (a, b))
    mean, low, high = paired_difference(first, second)
    return {'difference': mean, 'ci95': [low, high]}


def _headline(document: Mapping[str, Any], shipped: str, blind: str) -> dict[str, Any]:
    rows = _rows(document)
    best = max(FIXED, key=lambda name: float(rows[name]['success']['rate']))

    def rate(name: str) -> dict[str, Any]:
        return {'success': rows[name]['success']['rate'], 'ci95': rows[name]['success']['ci95']}

    return {'set': document['object_set'], 'level': 'SlipArrest', 'episodes': document['n'], **rate(shipped),
            'best_baseline': {'name': best, **rate(best)}, 'no_touch': rate(blind),
            'touch_gain': _gain(document, shipped, blind), 'baseline_gain': _gain(document, shipped, best)}


def _sheet(
    document: Mapping[str, Any], alarms: Mapping[str, Mapping[str, Any]], found: Sequence[Student],
    success: Mapping[str, float], shipped: Student, blind: Student,
) -> dict[str, Any]:
    return {
        'task': VERSION, 'simulated': 'yes: MuJoCo, no hardware involved', 'object_set': document['object_set'],
        'episodes_per_row': document['n'], 'intervals': 'Wilson 95 %; same episodes in all rows',
        'bars': _bars(_rows(document)[shipped.name], alarms.get(shipped.name)),
        'seeds_of_each_arm': (f'{sum(s.run.touch for s in found)} with touch, {sum(not s.run.touch for s in found)} '
                              f'without; {SEEDS_PER_ARM} of each are needed for a verdict about touch'),
        'policies': [{
            'policy': name, 'success %': 100 * row['success']['rate'],
            '95 % interval': [100 * v for v in row['success']['ci95']], 'held %': 100 * row['held']['rate'],
            'arrested %': None if row['arrested']['rate'] is None else 100 * row['arrested']['rate'],
            'slip mm, median': row['slip_mm']['median'], 'slip mm, p95': row['slip_mm']['p95'],
            'latency ms, median': _ms(row['latency_s']['median']), 'squeeze, median': row['squeeze']['median'],
        } for name, row in _rows(document).items()],
        'slip_detectors': [{
            'policy': name, 'AUROC': row['detector']['auroc'], 'F1': row['detector']['f1'],
            'false alarms a minute, no event': row['detector']['false_alarms_per_min'],
            'false alarms a minute, TactileHold': alarms.get(name, {}).get('per_min'),
        } for name, row in _rows(document).items() if row['detector'] is not None],
        'paired_differences': [
            {'a': shipped.name, 'b': other, 'success a - b, points': 100 * g['difference'],
             '95 % interval': [100 * v for v in g['ci95']]}
            for other in (*FIXED, blind.name) for g in (_gain(document, shipped.name, other),)],
        'training_runs': [{'run': s.name, 'validation success %': 100 * success[s.name], 'wall s': s.run.seconds,
                           'shipped': 'yes' if s is shipped else ''} for s in found],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _bars(row: Mapping[str, Any], alarms: Mapping[str, Any] | None) -> str:
    """The bars of the task, one by one."""
    latency, word = _ms(row['latency_s']['median']), row['detector']
    asked = (
        ('median slip at most 6 mm', row['slip_mm']['median'], 'mm', -math.inf, 6.0),
        ('median latency at most 100 ms', latency, 'ms', -math.inf, 100.0),
        ('AUROC of the slip head at least 0.90', word['auroc'], '', 0.90, math.inf),
        ('false alarms on TactileHold at most 1 a minute', (alarms or {}).get('per_min'), '', -math.inf, 1.0))
    return '; '.join(f'{text}: {"not measured" if v is None else f"{v:.2f} {unit}".strip()}'
                     f'{"" if v is None else " (met)" if low <= v <= high else " (not met)"}'
                     for text, v, unit, low, high in asked) + '.'
