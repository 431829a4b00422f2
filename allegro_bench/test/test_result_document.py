"""A result's folder: nothing is lost, nothing is half written, nothing lies outside."""

import json
import os
import zipfile

import numpy as np
import pytest
from allegro_bench.latency import ticks
from allegro_bench.results import document as documents
from allegro_bench.results.blocks import histogram, numbers
from allegro_bench.results.document import (
    NEVER,
    damage,
    engine_of,
    load,
    new_document,
    save_ticks,
    sha256_of,
    ticks_of,
    write,
)
from allegro_description.errors import ConfigError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STAMP = st.integers(0, 2**62)


@given(st.lists(st.tuples(STAMP, STAMP, STAMP), max_size=30))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ticks_survive_the_disk(tmp_path, rows):
    run = ticks(range(len(rows)), *([r[i] for r in rows] for i in range(3)))
    file = save_ticks(tmp_path, 'one', run, np.arange(len(rows), dtype=np.int64))
    again = ticks_of(tmp_path, {'ticks_file': file})
    for column in ('index', 'release_ns', 'start_ns', 'finish_ns'):
        assert (getattr(again, column) == getattr(run, column)).all()
    assert sha256_of(tmp_path, file['path']) == file['sha256']
    assert (engine_of(tmp_path, {'ticks_file': file}) == np.arange(len(rows))).all()


def test_equal_ticks_make_equal_files(tmp_path):
    run = ticks(range(3), [0, 5, 10], [1, 6, NEVER], [2, 7, NEVER])
    assert save_ticks(tmp_path, 'a', run)['sha256'] == save_ticks(tmp_path, 'b', run)['sha256']


@pytest.mark.parametrize('name', ['', '.', '../x', 'a/b', '.hidden', 'a\0b'])
def test_names_of_ticks_stay_inside(tmp_path, name):
    with pytest.raises(ConfigError, match='name of a tick file'):
        save_ticks(tmp_path, name, ticks([], [], [], []))


@pytest.mark.parametrize('path', ['../secret.npz', '/etc/passwd', '', 'ticks/../../x'])
def test_files_outside_are_never_opened(tmp_path, path):
    with pytest.raises(ConfigError, match='inside its folder'):
        ticks_of(tmp_path, {'ticks_file': {'path': path}})
    assert sha256_of(tmp_path, path) is None


@pytest.mark.parametrize('damaged', ['missing', 'empty', 'text', 'cut', 'foreign', 'floats', 'ragged', 'pickle',
                                     'bomb'])
def test_damaged_ticks_are_one_sentence(tmp_path, damaged, monkeypatch):
    run = ticks(range(500), range(500), range(500), range(500))
    block = {'ticks_file': save_ticks(tmp_path, 'one', run)}
    path = tmp_path / block['ticks_file']['path']
    whole, columns = path.read_bytes(), {c: np.arange(3) for c in documents.COLUMNS}
    if damaged == 'missing':
        path.unlink()
    elif damaged in ('empty', 'text', 'cut'):
        path.write_bytes({'empty': b'', 'text': b'hello', 'cut': whole[:len(whole) // 2]}[damaged])
    elif damaged == 'foreign':
        np.savez(path, other=np.zeros(3))
    elif damaged == 'floats':
        np.savez(path, **{k: v * 1.5 for k, v in columns.items()})
    elif damaged == 'ragged':
        np.savez(path, **{**columns, 'finish_ns': np.arange(4)})
    elif damaged == 'pickle':
        np.savez(path, **{**columns, 'index': np.array([object()])})
    else:
        monkeypatch.setattr(documents, 'MOST_BYTES', 1000)
    with pytest.raises(ConfigError, match=r'one\.npz'):
        ticks_of(tmp_path, block)


def test_a_reader_meets_the_old_document_or_the_new_one(tmp_path, monkeypatch):
    write(tmp_path, new_document() | {'run': {'number': 1}})

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(ConfigError, match='No space left'):
        write(tmp_path, new_document() | {'run': {'number': 2}})
    assert load(tmp_path)['run'] == {'number': 1}
    assert [p.name for p in tmp_path.iterdir()] == ['result.json'], 'nothing half written is left'


def test_what_a_crash_leaves_says_that_it_is_incomplete(tmp_path):
    run = ticks(range(2), [0, 5], [1, 6], [2, 7])
    document = new_document()
    document['blocks'] = [{'ticks_file': save_ticks(tmp_path, 'first', run)}]
    write(tmp_path, document)
    found = load(tmp_path)
    assert found['validity']['status'] == 'invalid'
    assert [r['code'] for r in found['validity']['reasons']] == ['incomplete']
    assert len(ticks_of(tmp_path, found['blocks'][0])) == 2


def test_what_is_not_finite_is_unknown(tmp_path):
    write(tmp_path, new_document() | {'run': {'a': float('nan'), 'b': [np.float64('inf'), np.int64(3)]}})
    assert load(tmp_path)['run'] == {'a': None, 'b': [None, 3]}


@pytest.mark.parametrize('text', ['', '[]', '{"schema": 3}', '{}', 'null', '{"schema": {"name": "x"}}', '[' * 100_000])
def test_no_result_is_one_sentence(tmp_path, text):
    (tmp_path / 'result.json').write_text(text)
    with pytest.raises(ConfigError, match=r'result\.json'):
        load(tmp_path)


@given(st.lists(st.floats(0, 1e9), max_size=200))
@settings(max_examples=60)
def test_every_value_lies_in_its_bin_of_the_common_grid(values):
    found = histogram(np.array(values))
    edges, counts = found['edges'], found['counts']
    assert sum(counts) == len(values)
    assert len(edges) == (len(counts) + 1 if values else 0)
    assert edges == sorted(set(edges))
    if values:
        assert edges[0] <= min(values) * (1 + 1e-5)
        assert max(values) <= edges[-1] * (1 + 1e-5)
        assert counts[0] > 0
        assert counts[-1] > 0
    json.dumps(found)


def test_histograms_can_be_added_up():
    one, two = np.array([0.0, 0.2, 3.0]), np.array([0.21, 40.0])
    edges = [set(histogram(v)['edges']) for v in (one, two, np.concatenate([one, two]))]
    assert edges[0] | edges[1] <= edges[2]


@pytest.mark.parametrize(('start', 'finish', 'index', 'words'), [
    ([1, 6, 11], [2, 7, 12], [0, 1, 2], ''),
    ([1, NEVER, 11], [2, NEVER, 12], [0, 1, 2], ''),
    ([1, NEVER, 11], [2, 7, 12], [0, 1, 2], 'reverse'),
    ([1, 6, 11], [2, 7, 12], [0, 2, 3], 'left out'),
    ([1, 6, 11], [2, 7, 12], [1, 2, 3], 'left out'),
    ([1, 4, 11], [2, 7, 12], [0, 1, 2], 'before its release'),
    ([1, 6, 11], [2, 5, 12], [0, 1, 2], 'before its start'),
    ([1, 6, 11], [8, 9, 12], [0, 1, 2], 'before it has finished'),
])
def test_impossible_ticks(start, finish, index, words):
    found = damage(ticks(index, [0, 5, 10], start, finish))
    assert (words in found) if words else not found


def test_numbers_of_a_block_count_every_tick_once():
    run = ticks(range(4), [0, 100, 200, 300], [1, 101, NEVER, 301], [50, 260, NEVER, 350])
    found = numbers(run, 100)
    assert (found['n_expected'], found['n_completed'], found['n_skipped'], found['n_late']) == (4, 3, 1, 1)
    assert sum(found['response_ms']['counts']) == 3


def test_archives_hold_what_they_should(tmp_path):
    file = save_ticks(tmp_path, 'x', ticks([0], [0], [1], [2]))
    with zipfile.ZipFile(tmp_path / file['path']) as archive:
        assert sorted(archive.namelist()) == ['finish_ns.npy', 'index.npy', 'release_ns.npy', 'start_ns.npy']
