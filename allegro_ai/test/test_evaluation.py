"""``allegro-ai evaluate`` and ``gallery``: common episodes, pieces that are kept, documents that fit their schema."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from allegro_ai.cli import main
from allegro_ai.evaluation.document import evaluation_schema, markdown
from allegro_ai.evaluation.entrants import entrants
from allegro_ai.evaluation.footage import filmed
from allegro_ai.evaluation.pieces import Cell, Pieces, run_cells
from allegro_ai.evaluation.rows import curve, failures, pair, release, row
from allegro_ai.evaluation.strips import CAPTION, HEIGHT, WIDTH, strip
from allegro_ai.evaluation.trials import KINDS, Trial, kind_of, trials_of
from allegro_ai.schema import validate
from allegro_ai.tasks.policies import Squeeze
from allegro_ai.tasks.tactile_hold import TactileHold, episodes
from allegro_ai.tasks.workers import Workers
from allegro_description.errors import BundleError, ConfigError, UnknownName
from allegro_description.model import load_hand
from allegro_description.simulation.score import EpisodeResult

HAND = load_hand('v5_sense', 'right')
GOOD = Trial(seed=0, family='box', grip='normal', mass=0.1, friction=0.8, push=1.0, success=True, held=True,
             acquired=True, kind='held', slip_mm=1.0, turn_deg=2.0, torque_nm=0.05, tip_n=3.0, work_j=0.1, heat=0.2,
             end_s=6.0, reward=1.0)
BAD = replace(GOOD, success=False, held=False, kind='dropped', slip_mm=None)


def mixed(good: int, n: int, torque: float = 0.05) -> list[Trial]:
    """``good`` successes first, of ``n``."""
    return [replace(GOOD if k < good else BAD, seed=k, torque_nm=torque) for k in range(n)]


@pytest.mark.parametrize(('change', 'kind'), [
    ({}, 'held'), ({'acquired': False, 'dropped_at_s': 1.3}, 'not acquired'), ({'dropped_at_s': 3.0}, 'dropped'),
    ({'slip_mm': 31.0}, 'slipped'), ({'turn_deg': 61.0}, 'turned'), ({'p99_tip_force_n': 4.1}, 'crushed'),
    ({'mean_torque_nm': 0.31}, 'overworked')])
def test_kind_of_failure(change: dict[str, float], kind: str) -> None:
    """Each bound that is broken alone gives its own kind."""
    good = EpisodeResult(held=True, success=True, acquired=True, dropped_at_s=None, slip_mm=1.0, turn_deg=1.0,
                         mean_torque_nm=0.1, p99_tip_force_n=3.9, finished_s=6.0)
    assert kind_of(replace(good, success=not change, **change), 'fragile') == kind  # type: ignore[arg-type]


def test_trials_are_the_tasks_episodes_with_their_effort() -> None:
    """Judgement equals that of the task; a policy that squeezes spends more than one that does not."""
    todo = episodes(HAND, range(3), 'L0', 'H1')
    effort = []
    for share in (0.0, 1.0):
        trials = trials_of(HAND, todo, Squeeze(HAND, share))
        outcomes = TactileHold(HAND, todo).run(Squeeze(HAND, share))
        assert [t.success for t in trials] == [o.result.success for o in outcomes]
        assert [t.torque_nm for t in trials] == [o.result.mean_torque_nm for o in outcomes]
        assert all(t.kind in ('held', *KINDS) and t.work_j >= 0.0 for t in trials)
        effort.append(sum(t.heat for t in trials))
    assert effort[1] > 2.0 * effort[0] > 0.0


def test_release_bar_is_met_or_not_clause_by_clause() -> None:
    """A policy that beats all by 30 points at half the torque passes; each weakness fails its own clause only."""
    n = 1000
    field = {b: mixed(400, n) for b in ('B0', 'B1', 'B3', 'B4', 'B5')} | {
        'B2': mixed(450, n, torque=0.10), 'B7': mixed(850, n), 'ours': mixed(750, n)}

    def met(**change: list[Trial]) -> dict[str, bool | None]:
        return {c['name']: c['met'] for c in release('ours', {**field, **change})}

    assert set(met().values()) == {True}
    assert [k for k, v in met(ours=mixed(750, n, torque=0.07)).items() if not v] == ['torque']
    assert [k for k, v in met(B3=mixed(700, n)).items() if not v] == ['gain']
    assert [k for k, v in met(B3=mixed(760, n)).items() if not v] == ['gain', 'certain']
    assert [k for k, v in met(B7=mixed(950, n)).items() if not v] == ['oracle']
    short = {k: v[:900] for k, v in field.items()}
    assert {c['name']: c['met'] for c in release('ours', short)}['episodes'] is False
    without = {k: v for k, v in field.items() if k not in ('B5', 'B7')}
    assert {c['name']: c['met'] for c in release('ours', without)} == {
        'episodes': True, 'gain': None, 'torque': True, 'oracle': None}


def test_rows_and_pairs_count_what_is_there() -> None:
    """Counts, groups and paired counts by hand."""
    field = {'a': mixed(6, 10), 'b': mixed(4, 10), 'B2': mixed(5, 10, torque=0.1)}
    found = row('a', field)
    assert (found['success']['count'], found['kinds']) == (6, {'dropped': 4, 'held': 6})
    assert found['by_grip']['normal']['n'] == 10
    assert found['torque_of_b2']['value'] == pytest.approx(0.5)
    assert 'success_of_b7' not in found
    two = pair('a', 'b', field)
    assert (two['both'], two['only_a'], two['only_b'], two['neither']) == (4, 2, 0, 4)
    assert two['value'] == pytest.approx(0.2)
    assert failures(field['a'])['dropped'] == [6, 7, 8, 9]


def test_curve_says_how_much_a_policy_survives() -> None:
    """A policy that holds up to 2 object weights has its 50 % there; one that always holds has none."""
    trials = [replace(GOOD if push < 2.0 else BAD, push=push) for push in np.linspace(0.0, 6.0, 61).tolist()]
    found = curve('a', trials)
    assert found['success']['half'] == pytest.approx(2.0, abs=0.1)
    assert found['largest'] == 6.0
    always = curve('b', [replace(t, success=True, held=True) for t in trials])
    assert always['held'] == {'half': None, 'ci95': [None, None], 'slope': always['held']['slope']}


def test_pieces_survive_a_kill_and_are_not_run_again(tmp_path: Path) -> None:
    """A half-written last line is dropped and its piece run again; finished pieces are read, not computed."""
    field = entrants(['B0'], HAND)
    cell = Cell('H1', 'L0', (0, 1), ('L0', 'L0'))
    with Workers(1) as workers, Pieces(tmp_path, lambda t: Trial(**t)) as pieces:
        first = run_cells(HAND, field, [cell], workers, pieces)
    whole = pieces.path.read_bytes()

    class Nobody:
        count = 0

        def submit(self, *_: object) -> object:
            raise AssertionError('nothing is left to run')

    with Pieces(tmp_path, lambda t: Trial(**t)) as again:
        assert run_cells(HAND, field, [cell], Nobody(), again) == first  # type: ignore[arg-type]
        with pytest.raises(AssertionError, match='nothing is left'):     # another hand: other episodes
            run_cells(HAND, field, [cell], Nobody(), again, randomise=False)  # type: ignore[arg-type]
    pieces.path.write_bytes(whole + whole[:40])
    with Pieces(tmp_path, lambda t: Trial(**t)) as torn:
        assert run_cells(HAND, field, [cell], Nobody(), torn) == first  # type: ignore[arg-type]
    assert pieces.path.read_bytes() == whole
    pieces.path.write_bytes(b'{"key": 1}\n' + whole)
    with pytest.raises(ConfigError, match='damaged'):
        Pieces(tmp_path, lambda t: Trial(**t))


def test_who_takes_part() -> None:
    """Labels, expansion, privileges and refusals; other numbers are another fingerprint."""
    field = entrants(['baselines', 'mine=tactile_hold_linear'], HAND)
    assert [e.label for e in field] == ['B0', 'B1', 'B1g', 'B2', 'B3', 'B4', 'B5', 'B7', 'mine']
    assert [e.label for e in field if e.privileged] == ['B7']
    assert len({e.fingerprint for e in field}) == len(field)
    assert field[-1].policy == 'bundle'
    assert not field[-1].baseline
    with pytest.raises(UnknownName):
        entrants(['B9'], HAND)
    with pytest.raises(ConfigError, match='twice'):
        entrants(['x=B0', 'x=B2'], HAND)


def test_evaluate_writes_what_its_schema_allows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One small run from the command line: table, JSON, schema; a damaged document is refused."""
    words = ['evaluate', 'B2', 'ours=B1', '--level', 'L2', '--episodes', '2', '--workers', '1', '--output',
             str(tmp_path)]
    assert main(words) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / 'evaluation.json').read_text())
    assert markdown(found) in said
    assert [r['label'] for r in found['cells'][0]['rows']] == ['B2', 'ours']
    assert found['release'][0]['label'] == 'ours'
    validate(found, evaluation_schema(), 'x')
    found['cells'][0]['rows'][0]['success']['rate'] = 1.5
    with pytest.raises(BundleError, match='rate'):
        validate(found, evaluation_schema(), 'x')
    assert main([*words[:1], 'B0', '--episodes', '0', '--output', str(tmp_path)]) == 2
    assert main([*words[:1], 'B0', '--reference', 'B5', '--output', str(tmp_path)]) == 2
    assert 'Traceback' not in capsys.readouterr().err


def test_gallery_shows_what_happened(tmp_path: Path) -> None:
    """Moments lie within the episode, the object is in the picture, and the page holds a picture for each failure."""
    found = filmed(HAND, episodes(HAND, range(1), 'L4', 'H2'), Squeeze(HAND, 0.0))
    for footage in found:
        moments = footage.moments(5)
        assert len(moments) == 5 == len(set(moments))
        assert moments == sorted(moments)
        assert moments[-1] == len(footage.xyz) - 1
    picture = np.asarray(strip(HAND, found[0], 2))
    assert picture.shape == (HEIGHT + CAPTION, 2 * WIDTH, 3)
    first = picture[:HEIGHT, :WIDTH].astype(int)
    orange = (first[..., 0] > first[..., 2] + 60) & (first[..., 1] > first[..., 2])
    assert orange.mean() > 0.005
    path = tmp_path / 'page.html'
    assert main(['gallery', 'B0', '--level', 'L4', '--episodes', '2', '--per-kind', '1', '--output', str(path)]) == 0
    text = path.read_text()
    assert text.count('<img') == text.count('<h2>') >= 1
