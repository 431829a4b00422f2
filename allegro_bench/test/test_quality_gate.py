"""The gate over candidates, its rows in a result, and what cannot be smuggled through it."""

import contextlib
import hashlib
import json
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
from allegro_ai.bundle import load_bundle
from allegro_bench.cli import main
from allegro_bench.quality import gate as gate_module
from allegro_bench.quality.candidates import candidate, limit_of, reference
from allegro_bench.quality.closed_loop import Played, Scene
from allegro_bench.quality.gate import Gate, Settings
from allegro_bench.quality.kept import FILE, Kept
from allegro_bench.quality.noninferiority import FAIL, INCONCLUSIVE, PASS
from allegro_bench.quality.planted import damaged_int8, delayed, int8_like
from allegro_bench.results import document as results
from allegro_bench.results.schema import problems
from allegro_bench.results.verify import verify
from allegro_bench.running.engines import Engine
from allegro_description.errors import ConfigError
from allegro_description.model import load_hand
from bench_result import make

T = 20_000_000
HAND = load_hand('v5_sense', 'right')
BUNDLE = load_bundle('tactile_hold_linear', HAND)
SCENE = Scene('v5_sense', 'right', str(BUNDLE.path), BUNDLE.fingerprint, 'H2', 'L2')
REFERENCE = reference(BUNDLE, T)
GRAPH = hashlib.sha256(BUNDLE.graph).hexdigest()
EPISODES = 6
NAMES = ('onnxruntime/fp32', 'numpy/fp32')


def row(seed, success):
    return Played(seed, success, 'held' if success else 'dropped', 250, 250, 0.0, 5.0)


class Rates:
    """Plays nothing: success by candidate, drawn per seed; counts what was asked for."""

    def __init__(self, rates):
        self.rates, self.asked = rates, []

    def __call__(self, scene, candidates, seeds, workers, progress, kept):
        self.asked.append(([c.name for c in candidates], len(seeds)))
        found = []
        for c in candidates:
            easy, flip = self.rates[c.name]
            found.append([row(s, bool((np.random.default_rng(s).random() < easy)
                                      ^ (np.random.default_rng((s, 1)).random() < flip))) for s in seeds])
        return found


@pytest.fixture
def played(monkeypatch):
    def install(rates):
        fake = Rates({REFERENCE.name: (0.7, 0.0)} | rates)
        monkeypatch.setattr(gate_module, 'play_all', fake)
        monkeypatch.setattr(gate_module, 'Workers', lambda count: contextlib.nullcontext())
        return fake
    return install


def judged(names, settings):
    found = Gate(BUNDLE, SCENE, [REFERENCE.altered(n) for n in names], settings)
    found.play()
    return {one.candidate.name: one for one in found.judged}


def test_an_equal_candidate_passes_a_poor_one_fails_and_few_pairs_decide_nothing(played):
    fake = played({'same': (0.7, 0.02), 'poor': (0.5, 0.0)})
    settings = Settings(discordance=0.10)
    found = judged(['same', 'poor'], settings)
    assert [c.difference.verdict(0.03) for c in found.values()] == [PASS, FAIL]
    assert fake.asked == [([REFERENCE.name, 'same', 'poor'], 687)]     # none asks for more
    few = judged(['same'], Settings(episodes=20))
    assert few['same'].difference.verdict(0.03) == INCONCLUSIVE


def test_the_share_of_differing_pairs_asks_for_more_and_a_failed_candidate_is_not_played_on(played):
    fake = played({REFERENCE.name: (0.5, 0.0), 'noisy': (0.5, 0.2), 'poor': (0.3, 0.0)})
    found = judged(['noisy', 'poor'], Settings(most=900))
    assert fake.asked == [([REFERENCE.name, 'noisy', 'poor'], 687), ([REFERENCE.name, 'noisy'], 900 - 687)]
    assert [found[n].difference.n for n in ('noisy', 'poor')] == [900, 687]
    assert [p.seed for p in found['noisy'].played] == list(range(700_000, 700_900))
    assert Gate(BUNDLE, SCENE, [], Settings()).planned() == (687, None)


def test_a_fixed_number_is_not_extended(played):
    fake = played({'noisy': (0.7, 0.3)})
    judged(['noisy'], Settings(episodes=50))
    assert fake.asked == [([REFERENCE.name, 'noisy'], 50)]


@pytest.mark.parametrize('values', [{'margin': 0.0}, {'margin': 0.6}, {'episodes': 0}, {'workers': -1}])
def test_settings_that_mean_nothing_are_refused(values):
    with pytest.raises(ConfigError, match='allowed'):
        Settings(**values).checked()


def test_a_damaged_int8_and_an_fp32_that_comes_far_too_late_fail():
    good = int8_like(BUNDLE, REFERENCE, 'int8_dynamic')
    # worse than what the evidence plants, so that few episodes show it: fingers and thumb go the wrong way
    bad = damaged_int8(damaged_int8(good, -8.0, 5), -8.0, 7)
    assert 'finger_places_scale' in bad.name
    assert 'thumb_places_scale' in bad.name
    late = delayed(replace(REFERENCE, limit=limit_of(BUNDLE)), 100.0)
    found = Gate(BUNDLE, SCENE, [bad, late], Settings(episodes=EPISODES, workers=1))
    found.play()
    for one in found.judged:
        assert one.difference.verdict(0.03) == FAIL, one.difference
    assert all(p.gave_up for p in found.judged[1].played if p.released > 30)


# Kept pieces ---------------------------------------------------------------------------------------------------------


def test_pieces_come_back_and_a_cut_line_is_dropped(tmp_path):
    with Kept(tmp_path) as kept:
        kept.put(SCENE, REFERENCE, [1, 2], [row(1, True), row(2, False)])
        kept.put(SCENE, REFERENCE, [3], [row(3, True)])
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-9])
    with Kept(tmp_path) as kept:
        assert kept.get(SCENE, REFERENCE, [1, 2]) == [row(1, True), row(2, False)]
        assert kept.get(SCENE, REFERENCE, [3]) is None
        assert kept.get(SCENE, delayed(REFERENCE, 1.0), [1, 2]) is None
        kept.put(SCENE, REFERENCE, [3], [row(3, False)])
    with Kept(tmp_path) as kept:
        assert kept.get(SCENE, REFERENCE, [3]) == [row(3, False)]


# A result ------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def one_episode_is_looked_at(monkeypatch):
    monkeypatch.setattr(gate_module, 'EPISODES', 1)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made')
    document = make(folder, NAMES)
    document['workload']['policy'] |= {'name': BUNDLE.name, 'sha256': BUNDLE.fingerprint}
    for entry in document['backends']:
        entry |= {'version': version(entry['plugin']), 'artifact_sha256': GRAPH}
    results.write(folder, document)
    return folder


@pytest.fixture
def result(made, tmp_path):
    for path in made.rglob('*'):
        if path.is_file():
            copy = tmp_path / path.relative_to(made)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return tmp_path


def changed(folder, change):
    document = results.load(folder)
    change(document)
    results.write(folder, document)


def test_the_command_writes_verdicts_and_costs_that_verify(result, capsys):
    before = [str(p) for p in verify(result)]
    assert main(['quality', str(result), '--episodes', '2', '--level', 'L0', '--object-set', 'train',
                 '--workers', '1']) == 1
    said = capsys.readouterr().out
    assert 'plan       2 pairs as asked' in said
    assert 'expect "inconclusive"' in said
    document = results.load(result)
    assert problems(document) == []
    assert [str(p) for p in verify(result)] == before
    rows = {(q['backend'], q['stage']): q for q in document['quality']}
    assert set(rows) == {(n, s) for n in NAMES for s in ('open_loop', 'closed_loop')}
    closed = rows['onnxruntime/fp32', 'closed_loop']
    assert (closed['n'], closed['margin_pp'], closed['latency_injected']) == (2, 3.0, True)
    assert closed['success_ref'] > 0
    opened = rows['numpy/fp32', 'open_loop']
    assert opened['deviation']['max_rad'] < 1e-5
    with np.load(result / opened['files'][0]['path'], allow_pickle=False) as file:
        assert file['joint'].tolist() == list(HAND.joint_names)
        assert file['max_rad'].max() == opened['deviation']['max_rad']
    for entry in document['summary']:
        calls = rows[entry['backend'], 'closed_loop']['inferences_per_success']['value']
        seconds, joules = entry['cpu_s_per_success'], entry['j_per_success']
        assert seconds['value'] == pytest.approx(entry['cpu_s_per_inference']['value'] * calls)
        meter = next(iter(entry['energy'].values()))
        assert joules['value'] == pytest.approx(meter['gross_j_per_inference']['value'] * calls)
        assert joules['kind'] == 'derived'
        assert joules['lo'] <= joules['value'] <= joules['hi']

    changed(result, lambda d: next(q for q in d['quality'] if q['n'] == 2 and q['stage'] == 'closed_loop').update(
        verdict='pass'))
    assert any('verdict' in str(p) or 'lower bound' in str(p) for p in verify(result))


def test_metered_trials_are_measured_joules(result, tmp_path, capsys):
    path = tmp_path / 'trials.csv'
    path.write_text('joules,success,simulator\n' + '40.0,1,elsewhere\n' * 3 + '60.0,0,elsewhere\n')
    main(['quality', str(result), '--candidates', 'numpy/fp32', '--episodes', '1', '--level', 'L0', '--workers', '1',
          '--trial-energy', f'numpy/fp32={path}'])
    joules = {e['backend']: e['j_per_success'] for e in results.load(result)['summary']}
    assert joules['onnxruntime/fp32'] is None
    assert (joules['numpy/fp32']['kind'], joules['numpy/fp32']['value']) == ('measured', pytest.approx(60.0))


def test_a_graph_other_than_the_one_that_was_timed_cannot_be_judged(result, capsys):
    # timed: something fast, by its hash; judged would be the exact fp32 graph
    changed(result, lambda d: d['backends'][0].update(artifact_sha256='0' * 64))
    with pytest.raises(ConfigError, match='is not the one that was measured'):
        candidate(results.load(result), result, NAMES[0], BUNDLE)
    assert main(['quality', str(result), '--candidates', NAMES[0], '--episodes', '1']) == 1
    row = next(q for q in results.load(result)['quality'] if q['backend'] == NAMES[0])
    assert (row['verdict'], row['n'], row['stage']) == ('not_run', 0, 'closed_loop')
    assert 'is not the one that was measured' in capsys.readouterr().out


def test_a_precision_that_was_timed_is_the_one_that_is_judged(result):
    # the result claims int8 times for the fp32 graph's hash: the graph made for int8 has another hash
    changed(result, lambda d: d['backends'][0].update(precision='int8_dynamic'))
    with pytest.raises(ConfigError, match='is not the one that was measured'):
        candidate(results.load(result), result, NAMES[0], BUNDLE)


@pytest.mark.parametrize(('change', 'said'), [
    (lambda d: d['backends'][0].update(version='0.0.1'), 'was measured in version 0.0.1'),
    (lambda d: d['backends'][0].update(faithful=False), 'does not compute the policy'),
    (lambda d: d.update(blocks=[b for b in d['blocks'] if b['backend'] != NAMES[0]]), 'no complete measured block')])
def test_what_was_not_measured_here_is_not_judged_here(result, change, said):
    changed(result, change)
    with pytest.raises(ConfigError, match=said):
        candidate(results.load(result), result, NAMES[0], BUNDLE)


@pytest.mark.parametrize(('change', 'arguments', 'said'), [
    (lambda d: d['workload']['policy'].update(sha256='1' * 64), [], 'give the policy that was measured'),
    (lambda d: d['workload'].update(control_rate_hz=100.0), [], 'measure at that rate'),
    (lambda d: None, ['--candidates', 'torch/fp32'], 'was not measured'),
    (lambda d: None, ['--candidates', ','], 'names nobody'),
    (lambda d: None, ['--margin', '0'], 'allowed: 0.1 to 50 points'),
    (lambda d: None, ['--level', 'L9'], 'L9'),
    (lambda d: None, ['--object-set', 'H9'], 'H9'),
    (lambda d: None, ['--trial-energy', 'x'], 'BACKEND=FILE.csv'),
    (lambda d: None, ['--policy', 'nobody'], 'nobody')])
def test_wrong_input_is_one_sentence_and_leaves_the_result_alone(result, capsys, change, arguments, said):
    changed(result, change)
    before = (result / 'result.json').read_bytes()
    assert main(['quality', str(result), *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert 'Traceback' not in told
    assert (result / 'result.json').read_bytes() == before


def test_a_plan_writes_nothing(result, capsys):
    before = json.dumps(results.load(result))
    assert main(['quality', str(result), '--plan', '--candidates', NAMES[0], '--workers', '1']) == 0
    assert json.dumps(results.load(result)) == before
    said = capsys.readouterr().out
    assert '687 pairs for 3 points with power 80 %' in said
    assert '1374 episodes of 6 s, about' in said


class Moody:
    """An engine of somebody else: fails, or answers NaN, in the test's hand."""

    name, faithful, precisions, mood = 'moody', True, ('fp32',), 'fails'

    def __init__(self, model, spec):
        if self.mood == 'does not load':
            raise RuntimeError('no licence')
        self._outputs = spec.outputs

    def run(self, inputs):
        if self.mood == 'fails':
            raise RuntimeError('out of\nmemory')
        return {n: np.full((1, s[-1]), np.nan, dtype=np.float32) for n, s in self._outputs.items()}

    def close(self):
        pass


@pytest.mark.parametrize(('mood', 'said'), [('fails', 'moody failed: RuntimeError: out of memory'),
                                            ('does not load', 'cannot load the graph: RuntimeError: no licence')])
def test_an_engine_that_fails_is_not_judged_and_disturbs_nobody(monkeypatch, mood, said):
    monkeypatch.setattr(Moody, 'mood', mood)
    engine = Engine(f'{__name__}:Moody', 'fp32')
    found = Gate(BUNDLE, SCENE, [replace(REFERENCE, name='moody', engine=engine)], Settings(episodes=1, workers=1))
    found.look()
    found.play()
    assert said in found.judged[0].problem
    assert found.judged[0].difference is None


def test_answers_that_are_no_numbers_lose_every_grasp(monkeypatch):
    monkeypatch.setattr(Moody, 'mood', 'not a number')
    one = replace(REFERENCE, name='moody', engine=Engine(f'{__name__}:Moody', 'fp32'))
    found = Gate(BUNDLE, SCENE, [one], Settings(episodes=1, workers=1))
    found.look()
    assert found.judged[0].deviation.section() == {'max_rad': None, 'p99_rad': None, 'max_share_of_range': None}
    found.play()
    assert all(p.gave_up and not p.won for p in found.judged[0].played)
