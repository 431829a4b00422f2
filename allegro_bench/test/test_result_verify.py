"""Verify: an honest result passes; every planted cheat is caught and called by its name."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from allegro_bench.evidence.planted_cheats import CHEATS, caught
from allegro_bench.latency import NEVER, ticks
from allegro_bench.results import blocks, intervals
from allegro_bench.results.document import load, save_ticks, ticks_of, write
from allegro_bench.results.summary import summarise
from allegro_bench.results.validity import UNUSABLE, judge
from allegro_bench.results.verify import verify
from allegro_description.errors import ConfigError
from allegro_description.share import share_dir
from bench_result import METER, MS, PERIOD, closed_loop, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allegro_bench import results

A, B = 'onnxruntime/fp32', 'openvino/fp32'


@pytest.fixture(scope='module', autouse=True)
def fewer_resamples():
    """Intervals need not be good here, only the same each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, 'RESAMPLES', 20)
        yield


@pytest.fixture(scope='module')
def honest(tmp_path_factory):
    folder = tmp_path_factory.mktemp('honest')
    make(folder, quality=[closed_loop(A)])
    return folder


@pytest.fixture
def copy(honest, tmp_path):
    """A copy of the honest result to tamper with: folder and document."""
    folder = tmp_path / 'copy'
    shutil.copytree(honest, folder)
    return folder, load(folder)


def recomputed(folder, document):
    """A careful cheat: summary, comparisons and verdict follow from what is left."""
    document['summary'], document['comparisons'] = summarise(document, folder)
    document['validity'] = judge(document, folder, document['validity']['reasons'])
    write(folder, document)
    return {p.code for p in verify(folder)}


def replace_ticks(folder, document, index, change):
    """Other ticks for a block, with a fitting hash and fitting counts."""
    block = document['blocks'][index]
    run = ticks_of(folder, block)
    columns = change(*(np.array(c) for c in (run.index, run.release_ns, run.start_ns, run.finish_ns)))
    again = ticks(*columns)
    name = block['ticks_file']['path'].removeprefix('ticks/').removesuffix('.npz')
    block['ticks_file'] = save_ticks(folder, name, again)
    block |= blocks.numbers(again, PERIOD)


def measured(document, backend):
    return [b for b in document['blocks'] if b['kind'] == 'measure' and b['backend'] == backend]


def test_an_honest_result_passes(honest):
    assert verify(honest) == []


def test_a_result_without_meter_passes_and_has_no_joule_and_no_gram(tmp_path):
    document = make(tmp_path, metered=False)
    assert verify(tmp_path) == []
    assert all(e['energy'] == {} and e['carbon'] is None and e['j_per_success'] is None for e in document['summary'])
    assert all(e['cpu_s_per_inference']['value'] > 0 for e in document['summary'])
    assert not [c for c in document['comparisons'] if 'j_per' in c['metric']]


def test_a_result_with_stalls_passes(tmp_path):
    document = make(tmp_path, stall=100)
    assert verify(tmp_path) == []
    assert document['summary'][0]['miss']['longest_run'] == 16


def test_cached_results_are_caught(tmp_path):
    document = make(tmp_path, cache_factor=0.3)
    assert document['validity']['status'] == 'invalid'
    assert {r['code'] for r in document['validity']['reasons']} >= {'cached'}
    assert verify(tmp_path) == [], 'the result says so itself'
    document['validity']['reasons'] = [r for r in document['validity']['reasons'] if r['code'] != 'cached']
    document['validity']['status'] = 'degraded'
    write(tmp_path, document)
    assert {p.code for p in verify(tmp_path)} == {'cached_results', 'verdict'}


def test_a_cache_test_that_was_left_out_is_caught(copy):
    folder, document = copy
    for block in document['blocks']:
        if block['kind'] == 'cache_repeated' and block['backend'] == A:
            block['backend'] = 'null'
    assert 'no_cache_test' in recomputed(folder, document)


def test_selective_retries_are_caught(copy):
    """A bad block is measured once more, and both are renumbered so that no gap is left."""
    folder, document = copy
    again = dict(document['blocks'][-1])
    again |= {'kind': 'measure', 'backend': A, 'index': len(document['blocks']),
              'order_index': measured(document, A)[0]['order_index'],
              't0_monotonic_ns': again['t0_monotonic_ns'] + 12_000 * MS}
    document['blocks'].append(again)
    replace_ticks(folder, document, -1, lambda i, r, s, f: (i, r + 12_000 * MS, s + 12_000 * MS, f + 12_000 * MS))
    again['ticks_file'] = save_ticks(folder, 'retry', ticks_of(folder, again))
    again |= {'energy_marks': {}, 'energy_j': {METER.id: None}}
    assert 'selective_retries' in recomputed(folder, document)


@pytest.mark.parametrize('renumbered', [False, True])
@pytest.mark.parametrize('erased', [False, True])
def test_best_of_is_caught(copy, renumbered, erased):
    """The slowest block of a backend is left out; with its file and its number if the cheat is careful."""
    folder, document = copy
    worst = measured(document, A)[1]
    document['blocks'].remove(worst)
    if erased:
        (folder / worst['ticks_file']['path']).unlink()
    if renumbered:
        for index, block in enumerate(document['blocks']):
            block['index'] = index
    found = recomputed(folder, document)
    assert 'best_of' in found
    assert ('dropped_blocks' in found) == (not erased or not renumbered)


def test_best_of_with_a_shortened_plan_is_caught(copy):
    folder, document = copy
    worst = measured(document, A)[1]
    document['blocks'].remove(worst)
    (folder / worst['ticks_file']['path']).unlink()
    del document['run']['order'][worst['order_index']]
    for index, block in enumerate(document['blocks']):
        block['index'] = index
        if block['order_index'] is not None and block['order_index'] > worst['order_index']:
            block['order_index'] -= 1
    assert recomputed(folder, document) >= {'best_of', 'order'}


def test_an_order_that_was_chosen_is_caught(copy):
    folder, document = copy
    document['run']['order_seed'] += 1
    assert 'order' in recomputed(folder, document)


def test_a_profile_that_is_only_called_so_is_caught(copy):
    folder, document = copy
    document['run']['profile'] = 'standard'
    assert 'profile' in recomputed(folder, document)
    document['run']['settings'] = {**document['run']['settings'], 'blocks': 5, 'block_s': 120.0}
    assert 'profile' in recomputed(folder, document)


def test_a_block_used_twice_is_caught(copy):
    folder, document = copy
    one, two = measured(document, A)[:2]
    for key in ('ticks_file', 'response_ms', 'service_ms', 'release_jitter_us', 'n_late', 't0_monotonic_ns'):
        two[key] = one[key]
    assert 'reused_block' in recomputed(folder, document)


def test_slow_ticks_that_were_removed_are_caught(copy):
    folder, document = copy
    index = measured(document, A)[0]['index']

    def trim(i, r, s, f):
        keep = np.argsort(f - r)[:-20]
        keep.sort()
        return i[keep], r[keep], s[keep], f[keep]

    replace_ticks(folder, document, index, trim)
    assert recomputed(folder, document) >= {'impossible_ticks', 'short_block'}


def test_a_schedule_that_gave_way_to_a_stall_is_caught(copy):
    """Coordinated omission: releases are moved to when the loop was free again."""
    folder, document = copy
    index = measured(document, A)[0]['index']
    replace_ticks(folder, document, index, lambda i, r, s, f: (i, np.where(i > 200, s, r), s, f))
    assert 'impossible_ticks' in recomputed(folder, document)


@pytest.mark.parametrize('change', [
    lambda i, r, s, f: (i, r, s, np.where(i == 7, s - 5, f)),
    lambda i, r, s, f: (i, r, np.where(i == 7, NEVER, s), f),
    lambda i, r, s, f: (i, r, np.where(i == 7, r - 1, s), f),
])
def test_impossible_ticks_are_caught(copy, change):
    folder, document = copy
    replace_ticks(folder, document, 2, change)
    assert 'impossible_ticks' in recomputed(folder, document)


def test_ticks_of_another_hash_are_caught(copy):
    folder, document = copy
    before = document['blocks'][3]['ticks_file']
    replace_ticks(folder, document, 3, lambda i, r, s, f: (i, r, s, f - 1000))
    document['blocks'][3]['ticks_file'] = before
    assert 'hash' in recomputed(folder, document)
    (folder / before['path']).unlink()
    assert {p.code for p in verify(folder)} >= {'hash', 'ticks'}


@pytest.mark.parametrize('offset_s', [-30.0, -0.5, 0.5, 30.0])
def test_a_meter_read_from_another_window_is_caught(copy, offset_s):
    folder, document = copy
    marks = measured(document, A)[0]['energy_marks'][METER.id]
    marks[0] += round(offset_s * 1e9)
    marks[1] += round(offset_s * 1e9)
    assert 'meter_window' in recomputed(folder, document)


def test_joules_of_another_block_are_caught(copy):
    folder, document = copy
    one, two = measured(document, A)[0], measured(document, B)[0]
    one['energy_j'], one['energy_marks'] = two['energy_j'], two['energy_marks']
    assert 'meter_window' in recomputed(folder, document)


def test_joules_without_readings_are_caught(copy):
    folder, document = copy
    measured(document, A)[0]['energy_marks'] = {}
    assert 'meter_window' in recomputed(folder, document)


def test_joules_that_do_not_follow_from_readings_are_caught(copy):
    folder, document = copy
    measured(document, A)[0]['energy_j'][METER.id] *= 0.9
    assert 'edited' in recomputed(folder, document)


@pytest.mark.parametrize(('field', 'value'), [('artifact_sha256', 'f' * 64), ('precision', 'int8')])
def test_quality_of_another_artefact_is_caught(copy, field, value):
    """Speed is measured in int8, and quality with fp32."""
    folder, document = copy
    next(b for b in document['backends'] if b['name'] == A)[field] = value
    assert recomputed(folder, document) == {'other_artifact'}


def test_quality_without_the_latency_of_the_backend_is_caught(copy):
    folder, document = copy
    document['quality'][0]['latency_injected'] = False
    assert recomputed(folder, document) == {'no_latency'}


@pytest.mark.parametrize('change', [
    {'success_cand': 650}, {'diff_pp': {'value': 2.0, 'lo': 1.0, 'hi': 3.0}}, {'discordant': {'b': 0, 'c': 4}},
    {'diff_pp': {'value': 100 * -1 / 700, 'lo': -4.0, 'hi': 1.0}}, {'margin_pp': 1.0},
])
def test_quality_whose_counts_do_not_agree_is_caught(copy, change):
    folder, document = copy
    document['quality'][0] |= change
    assert recomputed(folder, document) == {'edited'}


def numbers(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, (*path, i))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_number_of_the_summary_can_be_edited(honest, tmp_path_factory, data):
    document = load(honest)
    section = data.draw(st.sampled_from(['summary', 'comparisons']))
    path = data.draw(st.sampled_from(list(numbers(document[section], (section,)))))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = place[path[-1]] * 2 + 1
    folder = tmp_path_factory.mktemp('edited')
    shutil.copytree(honest / 'ticks', folder / 'ticks')
    write(folder, document)
    assert {p.code for p in verify(folder)} & {'edited', 'schema'}, path


def test_a_verdict_that_was_polished_is_caught(copy):
    folder, document = copy
    document['validity'] = {'status': 'valid', 'reasons': []}
    write(folder, document)
    assert {p.code for p in verify(folder)} == {'verdict'}


def test_a_failure_that_nobody_mentions_is_caught(copy):
    folder, document = copy
    measured(document, A)[0]['error'] = 'crashed'
    assert 'verdict' in recomputed(folder, document)


def test_parts_that_do_not_fit_together_are_no_traceback(copy):
    folder, document = copy
    document['baselines'][0]['power_w'] = {}
    document['run']['order'] = []
    document['quality'][0]['margin_pp'] = None
    write(folder, document)
    assert verify(folder)


def test_no_result_at_all_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match='cannot be read'):
        verify(tmp_path)
    (tmp_path / 'result.json').write_text(json.dumps({'schema': {'name': 'allegro_bench.result', 'version': '1.0'}}))
    assert {p.code for p in verify(tmp_path)} == {'schema'}


@pytest.mark.parametrize('cheat', CHEATS, ids=lambda c: c.__name__)
def test_every_cheat_of_the_evidence_has_its_name(honest, cheat):
    assert CHEATS[cheat] in caught(honest, cheat)


def test_the_protocol_names_every_code():
    """Codes of verify and those that make a run invalid stand in the public document."""
    text = (share_dir('allegro_bench') / 'docs/protocol.md').read_text()
    source = ''.join((Path(results.__file__).parent / f'{name}.py').read_text() for name in ('verify', 'schedule'))
    codes = set(re.findall(r"(?:Problem|problem)\('([a-z_]+)'", source)) | UNUSABLE
    assert len(codes) > 30
    assert not [code for code in sorted(codes) if f'`{code}`' not in text]
