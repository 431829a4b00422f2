"""From training runs to a shipped bundle: evaluate every seed of both arms, take the median seed, write the bundle.

The median is taken by return on validation episodes of the training objects, never by the test rows that the card
prints; all seeds are printed.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

from allegro_ai import golden, ood
from allegro_ai.bundle import Bundle
from allegro_ai.evaluation.closed_loop import Contestant, compare, evaluate, successes
from allegro_ai.evaluation.entrants import entrants
from allegro_ai.evaluation.intervals import arms_difference
from allegro_ai.evaluation.pieces import Pieces
from allegro_ai.export import policy_contract, write_bundle
from allegro_ai.grasp import GraspSpec
from allegro_ai.observation import ObservationSpec
from allegro_ai.tasks.baselines import BASELINES, REFERENCE_LABELS
from allegro_ai.tasks.tactile_hold import Outcome, TactileHold, episodes
from allegro_ai.tasks.vector import VERSION
from allegro_ai.tasks.workers import Workers
from allegro_ai.training.random_search import SEEDS_PER_RUN
from allegro_ai.training.trained import Trained

VALIDATION_FROM, VALIDATION_EPISODES = 999 * SEEDS_PER_RUN + 500_000, 100
STATISTICS_EPISODES = 48
GOLDEN_SEQUENCES, GOLDEN_STEPS = 64, 4
HEADLINE_LEVEL = 'L2'
SETS = {'H1': 'H1: new draws of the training families', 'H2': 'H2: families that were never trained on',
        'H3': 'H3: shapes of everyday size', 'H4': 'H4: heavier or slipperier than in training'}
BAR_POINTS, BAR_TORQUE, BAR_ORACLE = 10.0, 0.60, 0.85
FULL_TORQUE, ORACLE = 'B2', 'B7'
SEEDS_PER_ARM = 5
Progress = Callable[[str, int, int], None]


def contestant(result: Trained, blind: bool = False) -> Contestant:
    """The row of a run; ``blind``: its touch is cut at test time."""
    name = f'{result.name}, touch cut at test time' if blind else result.name
    return Contestant(name, blind=blind, policy=result.policy, arguments=result.arguments)


def baselines(hand: HandModel) -> list[Contestant]:
    """Rows of all baselines, the oracle included."""
    return [Contestant(_label(e.label), policy=e.policy, arguments=e.arguments) for e in entrants([*BASELINES], hand)]


def _label(label: str) -> str:
    return f'{label} {BASELINES[label].replace("_", " ")}'


def validate(hand: HandModel, results: Sequence[Trained], workers: Workers, progress: Progress) -> list[float]:
    """Mean return of each run on the same validation episodes (training objects, seeds never trained on), at L2."""
    rows = []
    for k, result in enumerate(results):
        document = evaluate(hand, [contestant(result)], workers, level=HEADLINE_LEVEL,
                            n=VALIDATION_EPISODES, object_set='train', first_seed=VALIDATION_FROM)
        rows.append(float(document['rows'][0]['mean_reward']))
        progress('validation', k + 1, len(results))
    return rows


def median_run(results: Sequence[Trained], returns: Sequence[float], touch: bool) -> Trained:
    """The run of one arm whose validation return is the (lower) median.

    Raises:
        ConfigError: the arm has no runs.
    """
    mine = sorted((value, k) for k, (r, value) in enumerate(zip(results, returns, strict=True)) if r.touch == touch)
    if not mine:
        raise ConfigError(f'no run {"with" if touch else "without"} touch; both arms are needed: allegro-ai train')
    return results[mine[(len(mine) - 1) // 2][1]]


def publish(
    folder: Path, hand: HandModel, results: Sequence[Trained], workers: Workers, *, n: int,
    levels: Sequence[str] = ('L2', 'L3'), object_set: str = 'H2', version: str = '0.1.0',
    replace_existing: bool = False, progress: Progress = lambda what, done, total: None,
    pieces: Pieces[Outcome] | None = None,
) -> Bundle:
    """Evaluate all runs beside the baselines and write the bundle of the median run with touch.

    Args:
        folder: the bundle's folder; its name is the bundle's name.
        hand: the hand.
        results: runs of both arms, equal configurations but for the seed.
        workers: processes that run the episodes.
        n: test episodes per row and level (objects never trained on).
        levels: disturbance levels of the tables; the headline is L2.
        object_set: one of :data:`SETS`.
        version: of the bundle.
        replace_existing: overwrite the folder.
        progress: called with a word, pieces done and pieces in all.
        pieces: episodes that are finished already, and where finished ones are kept.
    """
    returns = validate(hand, results, workers, progress)
    shipped, blind = median_run(results, returns, True), median_run(results, returns, False)
    contestants = [
        *baselines(hand),
        *[contestant(r) for r in results],
        contestant(shipped, blind=True),
    ]
    documents = {}
    for level in levels:
        documents[level] = evaluate(hand, contestants, workers, level=level, n=n, object_set=object_set,
                                    progress=partial(progress, level), pieces=pieces)
    headline = _headline(documents[HEADLINE_LEVEL], shipped.name, blind.name, results)
    provenance = {
        'simulator': f'mujoco {metadata.version("mujoco")}', 'env': VERSION, 'commit': commit(),
        'steps': shipped.control_steps, 'seed': shipped.seed, 'wall_s': round(shipped.wall_s, 1),
        'cpu': f'{platform.machine()}, {workers.count} processes', 'randomisation': 'train.yaml',
        'touch_used': True,
    }
    seen = _observations(hand, shipped)
    spec = ObservationSpec()
    return write_bundle(
        folder, hand,
        policy_contract(hand, inputs=shipped.inputs, steps=shipped.steps, normalisation=shipped.normalisation,
                        states=shipped.states,
                        name=folder.name, version=version, provenance=provenance, headline=headline, observation=spec,
                        grasp=GraspSpec()),
        shipped.graph,
        golden_arrays=golden.record(
            shipped.acting, golden.random_observations(hand, spec, GOLDEN_SEQUENCES, GOLDEN_STEPS), shipped.inputs),
        ood_arrays=ood.fit(seen),
        evaluation=_evaluation(documents, results, returns, shipped, blind),
        train={'kind': shipped.kind, 'config': dict(shipped.settings), 'curve': shipped.curve,
               'control_steps': shipped.control_steps, 'levels': list(shipped.levels), 'object_set': 'train',
               'randomisation': 'allegro_ai.tasks.randomisation and allegro_description.simulation.tactile'},
        replace=replace_existing,
    )


def _observations(hand: HandModel, shipped: Trained) -> dict[str, np.ndarray[Any, Any]]:
    """What the policy sees in training episodes, samples of RUN only."""
    record: list[Any] = []
    seeds = range(VALIDATION_FROM, VALIDATION_FROM + STATISTICS_EPISODES)
    levels = [shipped.levels[s % len(shipped.levels)] for s in seeds]
    TactileHold(hand, episodes(hand, seeds, levels, 'train')).run(shipped.acting, record=record)
    # every 10th step: neighbours are nearly the same observation
    return {name: np.concatenate([o[name] for o in record[::10]]) for name in record[0]}


def _rate(document: dict[str, Any], name: str) -> dict[str, Any]:
    row = next(r for r in document['rows'] if r['name'] == name)
    return {'name': name, 'success': row['success']['rate'], 'ci95': list(row['success']['ci95'])}


def _best(document: dict[str, Any]) -> dict[str, Any]:
    """The best of the baselines that the bar compares with."""
    return max((_rate(document, _label(label)) for label in REFERENCE_LABELS), key=lambda r: float(r['success']))


def bar(documents: dict[str, dict[str, Any]], shipped: str) -> str:
    """Whether the release bar is reached, level by level, with the three numbers it is made of."""
    words = []
    for level, document in documents.items():
        torque = {r['name']: float(r['mean_torque_nm']) for r in document['rows']}
        gain = compare(document, shipped, _best(document)['name'])
        share = torque[shipped] / torque[_label(FULL_TORQUE)]
        ceiling = _rate(document, _label(ORACLE))['success']
        reached = _rate(document, shipped)['success'] / ceiling if ceiling else 0.0
        good = (100 * gain['difference'] >= BAR_POINTS and gain['ci95'][0] > 0 and share <= BAR_TORQUE
                and reached >= BAR_ORACLE)
        words.append(f'{level}: {"reached" if good else "not reached"} ({100 * gain["difference"]:+.1f} points against '
                     f'{gain["b"]}, {100 * gain["ci95"][0]:+.1f} to {100 * gain["ci95"][1]:+.1f}; {share:.0%} of the '
                     f'torque of {_label(FULL_TORQUE)}; {reached:.0%} of the success of {_label(ORACLE)})')
    return (f'At least {BAR_POINTS:g} points above the best of {", ".join(REFERENCE_LABELS)}, interval above 0, '
            f'at most {BAR_TORQUE:.0%} of the torque of full squeeze, at least {BAR_ORACLE:.0%} of the oracle. '
            + '; '.join(words) + '.')


def touch_gain(document: dict[str, Any], results: Sequence[Trained]) -> dict[str, Any]:
    """Success of all runs with touch minus that of all runs without, over runs and episodes."""
    arms = [np.stack([successes(document, r.name) for r in results if r.touch == touch]) for touch in (True, False)]
    mean, low, high = arms_difference(*arms)
    return {'difference': mean, 'ci95': [low, high], 'runs': [len(arm) for arm in arms],
            'success': [float(arm.mean()) for arm in arms]}


def _headline(document: dict[str, Any], shipped: str, blind: str, results: Sequence[Trained]) -> dict[str, Any]:
    best = _best(document)
    mine, without = _rate(document, shipped), _rate(document, blind)
    paired = compare(document, shipped, best['name'])
    gains = {'touch_gain': touch_gain(document, results),
             'baseline_gain': {'difference': paired['difference'], 'ci95': paired['ci95']}}
    return {
        'set': document['object_set'], 'level': document['level'], 'episodes': document['n'],
        'success': mine['success'], 'ci95': mine['ci95'], 'best_baseline': best,
        'no_touch': {'success': without['success'], 'ci95': without['ci95']}, **gains,
    }


def _evaluation(
    documents: dict[str, dict[str, Any]], results: Sequence[Trained], returns: Sequence[float],
    shipped: Trained, blind: Trained,
) -> dict[str, Any]:
    sheet: dict[str, Any] = {
        'task': VERSION, 'simulated': 'yes: MuJoCo, no hardware involved',
        'object_set': SETS.get(documents[HEADLINE_LEVEL]['object_set'], documents[HEADLINE_LEVEL]['object_set']),
        'episodes_per_row': documents[HEADLINE_LEVEL]['n'], 'intervals': 'Wilson 95 %; same episodes in all rows',
        'release_bar': bar(documents, shipped.name), 'touch': _verdict(documents, results, shipped, blind),
    }
    for level, document in documents.items():
        sheet[f'level_{level}'] = [{
            'policy': r['name'], 'success %': 100 * r['success']['rate'],
            '95 % interval': [100 * v for v in r['success']['ci95']], 'held %': 100 * r['held']['rate'],
            'held 95 %': [100 * v for v in r['held']['ci95']], 'mean torque N·m': r['mean_torque_nm'],
            'p99 tip force N, median': r['p99_tip_force_n_median'], 'unstable': r['unstable'],
        } for r in document['rows']]
    sheet['paired_differences'] = [
        {'level': level, 'a': c['a'], 'b': c['b'], 'success a - b, points': 100 * c['difference'],
         '95 % interval': [100 * v for v in c['ci95']], 'only a': c['only_a'], 'only b': c['only_b']}
        for level, document in documents.items() for c in _pairs(document, shipped.name, blind.name)
    ]
    sheet['training_runs'] = [
        {'run': r.name, 'validation return': value, 'control steps': r.control_steps, 'wall s': r.wall_s,
         'shipped': 'yes' if r is shipped else ''} for r, value in zip(results, returns, strict=True)
    ]
    return sheet


def _pairs(document: dict[str, Any], shipped: str, blind: str) -> list[dict[str, Any]]:
    best = _best(document)['name']
    return [compare(document, shipped, other) for other in (best, blind, f'{shipped}, touch cut at test time')]


def _verdict(documents: dict[str, dict[str, Any]], results: Sequence[Trained], shipped: Trained, blind: Trained) -> str:
    """What is claimed of touch: only what the interval over runs and episodes shows; the median pair beside it."""
    words = []
    for level, document in documents.items():
        gain, pair = touch_gain(document, results), compare(document, shipped.name, blind.name)
        low, high = gain['ci95']
        seen = 'better' if low > 0 else 'worse' if high < 0 else 'not shown to differ'
        words.append(f'{level}: {seen} ({_points(gain)}; the two median runs alone, paired: {_points(pair)})')
    with_touch, without = touch_gain(next(iter(documents.values())), results)['runs']
    return (f'{with_touch} runs with touch against {without} retrained without, success on the same episodes, 95 % '
            f'interval over runs and episodes: {"; ".join(words)}.')


def _points(gain: dict[str, Any]) -> str:
    low, high = (100 * v for v in gain['ci95'])
    return f'{100 * gain["difference"]:+.1f} points, {low:+.1f} to {high:+.1f}'


def commit() -> str:
    """Source revision, or ``unknown``."""
    try:
        found = subprocess.run(['git', 'rev-parse', '--short', 'HEAD'], capture_output=True, text=True, check=True,
                               cwd=Path(__file__).parent, timeout=10)
        return found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return 'unknown'


def same_but_seed(results: Sequence[Trained]) -> None:
    """Refuse to mix runs of different settings.

    Raises:
        ConfigError: recipes differ in more than seed, arm and time limit, or a run is given twice.
    """
    recipes = [r.recipe for r in results]
    for r, recipe in zip(results, recipes, strict=True):
        other = sorted(k for k in {*recipe, *recipes[0]} if recipe.get(k) != recipes[0].get(k))
        if other:
            raise ConfigError(f'{r.name} differs from {results[0].name} in {", ".join(other)}; publish runs of one '
                              'configuration')
    names = [r.name for r in results]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f'{twice[0]} is given twice; each run counts once')
