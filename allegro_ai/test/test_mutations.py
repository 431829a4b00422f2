"""A few hundred mutants hold what a hundred thousand must, and the test finds what it looks for."""

import os
from collections import Counter

import pytest
from ai_bundles import write_recurrent_bundle
from allegro_ai.bundle import find_bundle
from allegro_ai.evidence import mutations
from allegro_ai.evidence.mutants import KINDS, Mutant
from allegro_ai.evidence.mutations import Tally, judge, mutant, original, outcome, report
from allegro_ai.signing import Verdict

pytest.importorskip('cryptography')

COUNT = 220


@pytest.fixture(scope='module')
def originals(tmp_path_factory):
    recurrent = write_recurrent_bundle(tmp_path_factory.mktemp('mutations') / 'recurrent')
    return [original(find_bundle('tactile_hold_linear')), original(recurrent.path)]


@pytest.fixture(scope='module')
def tally(originals):
    tally = Tally()
    for index in range(COUNT):
        judge(originals, 7, index, tally)
    return tally


def test_every_mutant_is_refused_or_behaves_the_same(tally):
    assert tally.broken == []
    assert sum(tally.signed.values()) == COUNT
    assert {what for _, what in tally.signed} <= {'refused', 'same'}
    plain = {k.name for k in KINDS if not k.mended}
    assert {what for kind, what in tally.plain if kind in plain} <= {'refused', 'same'}


def test_every_kind_is_tried_and_something_of_each_is_refused(tally):
    for kind in KINDS:
        assert tally.plain[kind.name, 'refused'] > 0, kind.name
    assert sum(n for (_, what), n in tally.plain.items() if what == 'other') > 0, 'bundles of their own are counted'
    table = report(tally)
    assert f'| all | {COUNT} |' in table


def test_the_same_seed_makes_the_same_mutant(originals):
    for index in (3, 50, 90):
        assert mutant(originals, 7, index)[2] == mutant(originals, 7, index)[2]
    made = [mutant(originals, 7, index)[2] for index in range(20)]
    assert len({str(sorted((m.files or {'': m.archive}).items())) for m in made}) == len(made)


def test_every_mutant_differs_from_the_original(originals):
    for index in range(300):
        source, _, made = mutant(originals, 8, index)
        assert made.files != source.victim.files
        assert made.archive != source.victim.archive


def test_the_untouched_original_is_the_same(originals):
    for source in originals:
        for signed in (False, True):
            assert outcome(source, Mutant(dict(source.victim.files)), signed=signed) == ('same', '')
            assert outcome(source, Mutant(archive=source.victim.archive), signed=signed) == ('same', '')


def first(originals, wanted, of):
    """Number of a mutant of a kind with such an outcome."""
    for index in range(2000):
        source, kind, made = mutant(originals, 7, index)
        if kind.name.startswith(of) and outcome(source, made, signed=False)[0] == wanted:
            return index
    raise AssertionError(wanted)


def test_a_loader_that_throws_something_else_is_found(originals, monkeypatch):
    def check(files, *args, **options):
        raise KeyError('x')

    monkeypatch.setattr(mutations, 'check_contents', check)
    tally = Tally()
    assert judge(originals, 7, 0, tally)[0] == 'broken'
    assert 'KeyError' in tally.broken[0]


def test_a_signature_that_is_not_checked_is_found(originals, monkeypatch):
    index = first(originals, 'other', 'arrays')
    monkeypatch.setattr('allegro_ai.bundle.verify', lambda *args, **options: Verdict(True, ''))
    tally = Tally()
    judge(originals, 7, index, tally)
    assert 'signature required, yet other' in tally.broken[0]


def test_hashes_that_are_not_compared_are_found(originals, monkeypatch):
    """A weight that moved by less than the golden tolerance: nothing but its hash tells."""
    source, _, made = mutant(originals, 7, first(originals, 'within', 'fields of policy.onnx'))
    moved = Mutant({**source.victim.files, 'policy.onnx': made.files['policy.onnx']})
    monkeypatch.setattr(mutations, 'mutant', lambda *args: (source, KINDS[0], moved))
    assert judge(originals, 7, 0, Tally())[0] == 'refused'
    monkeypatch.setattr('allegro_ai.integrity.check_sums', lambda *args: None)
    monkeypatch.setattr('allegro_ai.integrity.check_declared', lambda *args: None)
    tally = Tally()
    judge(originals, 7, 0, tally)
    assert tally.broken


def dies(paths, seed, numbers, at, results):
    """A worker whose process ends at number 5, as a crash in a library would end it."""
    for index in numbers:
        at.value = index
        if index == 5:
            os._exit(7)
    results.put(Tally(plain=Counter({('x', 'refused'): len(numbers)})))


def test_a_crash_of_the_process_is_found_and_the_rest_goes_on():
    tally = mutations.run([], 12, 0, 1, work=dies)
    assert tally.broken == ['5: the process ended with 7']
    assert tally.plain['x', 'refused'] == 11
    assert 'process' in report(tally)


def test_the_command_prints_the_table(capsys):
    assert mutations.main(['--count', '15', '--seed', '3']) == 0
    said = capsys.readouterr().out
    assert '| all | 15 |' in said
    assert 'tactile_hold_linear' in said
    assert mutations.main(['--only', '0', '--seed', '3']) == 0
    assert mutations.main(['--bundle', 'no_such']) == 2
    assert capsys.readouterr().err.count('\n') == 1
