"""YAML and JSON from outside: bombs, aliases, repeated keys and endless numbers are refused in no time."""

import time

import pytest
from allegro_ai.export import to_yaml
from allegro_ai.untrusted import MAX_YAML_BYTES, parse_json, parse_yaml
from allegro_description.errors import BundleError
from hypothesis import given, settings
from hypothesis import strategies as st

LAUGHS = 'a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'{new}: &{new} [{", ".join([f"*{old}"] * 9)}]\n' for old, new in zip('abcdefgh', 'bcdefghi', strict=True))


@pytest.mark.parametrize(('text', 'message'), [
    (LAUGHS, 'anchor or alias'),
    ('a: &x 1\n', 'anchor or alias'),
    ('a: 1\nb: 2\na: 3\n', "'a' occurs twice"),
    ('x: {a: 1, a: 2}', "'a' occurs twice"),
    ('[' * 5000, 'deeper than 32'),
    ('a: ' * 5000, 'not a YAML file'),
    ('- ' * 4000 + 'x', 'deeper than 32'),
    ('a: !!python/object/apply:os.system [ls]', 'not a YAML file'),
    ('a: !!python/name:os.system', 'not a YAML file'),
    ('a: 2026-99-99', 'not a YAML file'),
    ('a: ' + '9' * 5000, '5000 characters'),
    ('a: ' + '1:' * 100_000 + '1', 'characters'),
    ('? [a, b]\n: 1\n', 'no text|not a YAML'),
    ('? {a: b}\n: 1\n', 'no text|not a YAML'),
    ('<<: {a: 1}\nb: 2\n', 'not a YAML file'),
    ('a: "\x07"', 'not a YAML file'),
    ('a' * (MAX_YAML_BYTES + 1), 'the limit is'),
    ('\n'.join(f'k{n}: 1' for n in range(60_000)) + '\nk7: 2', "'k7' occurs twice"),
], ids=lambda v: v[:20] if isinstance(v, str) else '')
def test_yaml_that_is_no_contract_is_refused_quickly(text, message):
    begin = time.perf_counter()
    with pytest.raises(BundleError, match=message) as error:
        parse_yaml(text.encode(), 'policy.yaml')
    assert time.perf_counter() - begin < 15
    assert '\n' not in str(error.value)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(BundleError, match='not a YAML file'):
        parse_yaml(b'a: \xff\xfe', 'policy.yaml')
    with pytest.raises(BundleError, match='not a JSON file'):
        parse_json(b'\xff', 'eval/x.json')


@pytest.mark.parametrize('text', ['{', '[NaN]', '{"a": Infinity}', '[' * 100_000, '1' * 10_000, ''])
def test_json_that_is_none_is_refused(text):
    with pytest.raises(BundleError, match='not a JSON file'):
        parse_json(text.encode(), 'eval/x.json')


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10 ** 15, 10 ** 15) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=['C']), max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abcxyz', max_size=4), inner, max_size=4),
    max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text('abc', min_size=1, max_size=3), VALUES, max_size=4))
def test_what_is_written_is_read_back(document):
    assert parse_yaml(to_yaml(document).encode(), 'x') == document


def test_values_that_occur_twice_are_written_out():
    twice = ['a', 'b']
    assert parse_yaml(to_yaml({'x': twice, 'y': twice}).encode(), 'x') == {'x': twice, 'y': twice}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]:,-?!&*#|>"\'%@ \n\tab01.~<', max_size=60).map(str.encode))
def test_any_bytes_end_in_a_document_or_a_sentence(raw):
    for parse in (parse_yaml, parse_json):
        said = ''
        try:
            parse(raw, 'x')
        except BundleError as error:
            said = str(error)
        assert '\n' not in said
