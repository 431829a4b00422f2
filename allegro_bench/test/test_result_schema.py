"""The result's JSON Schema: what the suite writes fits, and whatever is bent does not."""

import json

import pytest
from allegro_bench.results import schema
from allegro_bench.results.document import NAME, load, new_document, write
from allegro_description.errors import ConfigError
from bench_result import closed_loop, make
from hypothesis import given, settings
from hypothesis import strategies as st

from allegro_bench import environment


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return make(tmp_path_factory.mktemp('result'), quality=[closed_loop('onnxruntime/fp32')])


@pytest.fixture(scope='module')
def document(whole):
    """One of each kind of thing: quick to check."""
    return {k: v[:1] if isinstance(v, list) else v for k, v in whole.items()}


def copy(value):
    return json.loads(json.dumps(value))


def places(value, path=()):
    """Every place of a document: (path, value)."""
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(document, path):
    for key in path:
        document = document[key]
    return document


FREE = {'settings', 'options', 'harness'}
"""Objects that the schema leaves open on purpose."""
MAPS = {'libs', 'energy_j', 'energy_marks', 'energy_problems', 'power_w', 'energy', 'clock_steps_ns'}


def test_what_the_suite_writes_fits(whole, document):
    assert schema.problems(whole) == []
    assert schema.problems(document) == []
    assert schema.problems({**document, 'system': environment.describe()}) == []


def test_a_run_that_has_just_begun_fits_too(document):
    begun = {**new_document(), **{k: document[k] for k in ('run', 'workload', 'system', 'backends')}}
    assert schema.problems(begun) == []
    assert begun['validity']['status'] == 'invalid'


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_an_unknown_key_is_refused_anywhere(document, data):
    objects = [p for p, v in places(document) if isinstance(v, dict) and not FREE & set(p) and not MAPS & set(p[-1:])]
    path = data.draw(st.sampled_from(objects))
    bent = copy(document)
    at(bent, path)['unheard_of'] = 1
    found = schema.problems(bent)
    assert found, path
    assert any('unheard_of' in one for one in found)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_value_of_another_kind_is_refused_anywhere(document, data):
    leaves = [p for p, v in places(document) if p and not FREE & set(p)]
    path = data.draw(st.sampled_from(leaves))
    bent = copy(document)
    at(bent, path[:-1])[path[-1]] = {'what': ['is', 'this']}
    assert schema.problems(bent), path


def test_nothing_that_is_required_may_be_left_out(document):
    """Every key of every object, not a sample: a key that may go must be named here."""
    required = [(p, k) for p, v in places(document)
                if isinstance(v, dict) and not FREE & set(p) and not MAPS & set(p[-1:]) for k in v]
    optional = {'finished_utc', 'carbon_intensity', 'git_sha', 'seed', 'energy_marks', 'energy_problems', 'backend',
                'inferences_per_success', 'hi'}
    silent = []
    for path, key in required:
        bent = copy(document)
        del at(bent, path)[key]
        if not schema.problems(bent) and (key not in optional or path[:1] == ('summary',)):
            silent.append((path, key))
    assert silent == []


@pytest.mark.parametrize(('path', 'value'), [
    (('summary', 0, 'response_ms', 'p50', 'lo'), None),
    (('summary', 0, 'response_ms', 'p999', 'needed'), None),
    (('summary', 0, 'miss', 'rate'), 1.5),
    (('blocks', 0, 'n_skipped'), -1),
    (('blocks', 0, 'kind'), 'best'),
    (('blocks', 0, 'ticks_file', 'path'), '../elsewhere.npz'),
    (('blocks', 0, 'ticks_file', 'path'), '/elsewhere.npz'),
    (('blocks', 0, 'ticks_file', 'sha256'), 'A' * 64),
    (('validity', 'status'), 'perfect'),
    (('run', 'profile'), 'fast'),
    (('run', 'created_utc'), '31.1.2026'),
    (('workload', 'control_rate_hz'), 0),
    (('meters', 0, 'quality'), 'good'),
    (('schema', 'name'), 'other'),
    (('comparisons', 0, 'n_pairs'), 0),
])
def test_what_cannot_be_is_refused(document, path, value):
    bent = copy(document)
    at(bent, path[:-1])[path[-1]] = value
    with pytest.raises(ConfigError, match='schema at'):
        schema.validate(bent)


@pytest.mark.parametrize(('version', 'reads'), [('1.0', True), ('1.7', True), ('2.0', False), ('0.9', False), (1, True),
                                                (None, False), ('one', False)])
def test_only_the_major_version_decides_who_reads(document, tmp_path, version, reads):
    write(tmp_path, {**document, 'schema': {'name': NAME, 'version': version}})
    if reads:
        assert load(tmp_path)['run'] == document['run']
        return
    with pytest.raises(ConfigError, match=r'reads 1\.x'):
        load(tmp_path)


def test_fields_of_a_later_minor_version_are_tolerated_and_those_of_this_one_not(document):
    bent = copy(document)
    bent['run']['unheard_of'] = 1
    assert schema.problems(bent)
    bent['schema']['version'] = '1.9'
    assert schema.problems(bent) == []
    bent['run']['order_seed'] = 'three'
    assert schema.problems(bent), 'what this version knows is still checked'
