"""Packs: what they hold, that a bare machine is enough for them, and that nothing altered is measured."""

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
from allegro_ai.backends import plan as plans
from allegro_ai.backends.numpy_graph import MAKERS
from allegro_ai.backends.precision import graph_of
from allegro_ai.bundle import load_bundle
from allegro_ai.graph import GraphReport, inspect
from allegro_ai.workloads import build
from allegro_ai.workloads.ladder import write_workload
from allegro_bench.cli import main
from allegro_bench.energy import EnergyRecorder
from allegro_bench.exporting import stand_in_graph, stand_in_onnx, stand_in_yaml
from allegro_bench.exporting.closure import SUITE, closure, file_of, imports
from allegro_bench.exporting.pack import METER_NAMES, ROOTS, WITHOUT, Order, code, files, write
from allegro_bench.exporting.start import MANIFEST, damage
from allegro_bench.meters import METERS
from allegro_bench.meters.opening import open_meters
from allegro_bench.results.compare import refusals
from allegro_bench.results.document import load
from allegro_bench.results.verify import verify
from allegro_bench.running.engines import engine
from allegro_bench.running.profiles import PROFILES
from allegro_bench.running.run import Run
from allegro_bench.running.setup import Setup
from allegro_bench.running.workload import workload
from allegro_description.errors import BundleError, ConfigError
from allegro_description.model import load_hand
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

MINI = dataclasses.replace(PROFILES['quick'], name='custom', blocks=1, block_s=0.2, warm_ticks=50, warm_s=0.0,
                           warm_cap_s=0.0, idle_s=0.01, loaded_idle_s=0.05, cool_s=0.0, cache_calls=50, cold=1)


@pytest.fixture(scope='module')
def order(tmp_path_factory):
    bundle = write_workload('L0', tmp_path_factory.mktemp('bundle') / 'L0', load_hand('v5_sense', 'right'))
    return Order(workload(bundle, 'L0', rate_hz=250.0), bundle, 'L0', ['onnxruntime', 'onnxruntime/int8_dynamic'], MINI)


@pytest.fixture(scope='module')
def packed(order):
    return files(order)


# Which modules --------------------------------------------------------------------------------------------------------


def test_imports_of_every_kind_are_seen(tmp_path):
    source = tmp_path / 'some.py'
    source.write_text('import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\nelse:\n    import e\n'
                      'try:\n    import f\nexcept ImportError:\n    pass\nclass K:\n    import g\n'
                      '    def m(self):\n        import h.i\n        return lambda: __name__\n')
    assert set(imports(source)) == {('a', False), ('b', False), ('b.c', False), ('e', False), ('f', False),
                                    ('g', False), ('h.i', True)}
    source.write_text('from . import a\n')
    with pytest.raises(ConfigError, match='relative'):
        list(imports(source))


def test_the_run_itself_needs_numpy_and_what_has_a_stand_in():
    """Without engines: what is imported at the start, and inside functions, by the run and its processes."""
    found = closure(ROOTS, WITHOUT)
    assert set(found.outside) == {'numpy', 'yaml'}
    assert set(found.optional) == {'cryptography', 'tqdm'}, 'a new one has to be reached by request alone'


def test_engines_come_in_with_their_own_module_alone():
    found = code(['onnxruntime', 'numpy'])
    leaves = {'onnxruntime': {'allegro_ai.backends.onnxruntime_cpu'}, 'onnx': {'allegro_ai.backends.plan'},
              'torch': {'allegro_ai.backends.torch_eager', 'allegro_ai.backends.torch_operators'}}
    assert {k: v for k, v in found.outside.items() if k not in ('numpy', 'yaml')} == leaves
    assert not [m for m in found.modules if '.nodes' in m or 'rclpy' in m]
    assert {METERS.module_of(name) for name in METER_NAMES} <= set(found.modules)


def test_a_pack_is_closed():
    """Every module of the suite that a packed one imports is packed, or stays at home for a stated reason."""
    modules = code(['onnxruntime']).modules
    for path in modules.values():
        for name, _ in imports(path):
            if name.partition('.')[0] in SUITE and file_of(name) is not None:
                assert name in modules or name in WITHOUT, f'{path} imports {name}'


# Contents -------------------------------------------------------------------------------------------------------------


def test_the_same_order_gives_the_same_bytes(order, packed, tmp_path):
    assert files(order) == packed
    for name in ('a.tar.gz', 'a'):
        write(packed, tmp_path / name)
        with pytest.raises(ConfigError, match='exists'):
            write(packed, tmp_path / name)
    with tarfile.open(tmp_path / 'a.tar.gz') as archive:
        assert {m.name: m.isfile() for m in archive} == {f'a/{name}': True for name in packed}
    assert damage(tmp_path / 'a') == ''


def test_the_bundle_is_packed_byte_for_byte_and_arrays_hold_plain_numbers(order, packed):
    inside = {name.removeprefix('bundle/'): raw for name, raw in packed.items() if name.startswith('bundle/')}
    assert inside == dict(order.bundle.files)
    seeds = [name for name in packed if name.startswith('observations/')]
    assert len(seeds) == len(order.chosen.seeds)
    for name in seeds:
        with np.load(io.BytesIO(packed[name]), allow_pickle=False) as file:
            assert all(file[key].dtype.kind in 'fb' for key in file.files)
    assert not [n for n in packed if n.endswith(('.pkl', '.pickle', '.pyc', '.so'))]


def test_an_engine_that_nobody_knows_or_vouches_for_is_not_packed(order):
    with pytest.raises(ConfigError, match='tensorflow'):
        files(dataclasses.replace(order, engines=['tensorflow']))
    shipped = load_bundle('tactile_hold_linear', load_hand('v5_sense', 'right'))
    with pytest.raises(BundleError, match='tolerance'):
        files(Order(workload(shipped, shipped.name), shipped, shipped.name, ['onnxruntime/int8_dynamic']))


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_whatever_is_altered_is_found(packed, tmp_path_factory, data):
    root = tmp_path_factory.mktemp('altered') / 'pack'
    write(packed, root)
    name = data.draw(st.sampled_from(sorted(packed)))
    if name == MANIFEST:
        return
    how = data.draw(st.sampled_from(['flip', 'remove', 'lengthen']))
    raw = bytearray(packed[name])
    if how == 'remove':
        (root / name).unlink()
    else:
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        raw = raw + b'\n' if how == 'lengthen' or not raw else raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:]
        (root / name).write_bytes(raw)
    assert name in damage(root)


@pytest.mark.parametrize('name', ['lib/allegro_bench/torch.py', 'stand_ins/yaml/sitecustomize.py', 'bundle/new.json',
                                  'lib/allegro_ai/allegro_ai/__pycache__/tick.cpython-310.pyc'])
def test_a_file_that_was_not_packed_is_found(packed, tmp_path, name):
    write(packed, tmp_path / 'pack')
    (tmp_path / 'pack' / name).parent.mkdir(exist_ok=True)
    (tmp_path / 'pack' / name).write_bytes(b'')
    assert name in damage(tmp_path / 'pack')


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"format": "else", "files": {}, "closed": []}', '{"files": 3'])
def test_a_damaged_manifest_is_a_sentence(packed, tmp_path, text):
    write(packed, tmp_path / 'pack')
    (tmp_path / 'pack' / MANIFEST).write_text(text)
    assert MANIFEST in damage(tmp_path / 'pack')


# Stand-ins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('rung', ['L1a', 'L2a', 'L2b', 'L3a', 'shipped', 'int8'])
def test_graphs_are_read_as_onnx_reads_them(rung, monkeypatch):
    if rung in ('shipped', 'int8'):
        bundle = load_bundle('tactile_hold_linear', load_hand('v5_sense', 'right'))
        graph = bundle.graph if rung == 'shipped' else graph_of(bundle, 'int8_dynamic')
    else:
        graph = build(rung).SerializeToString()
    expected = plans.read_plan(graph, MAKERS, 'numpy')
    monkeypatch.setattr(plans, 'onnx', stand_in_onnx)
    found = plans.read_plan(graph, MAKERS, 'numpy')
    assert (found.opset, found.inputs, found.outputs) == (expected.opset, expected.inputs, expected.outputs)
    assert len(found.values) == len(expected.values) > 1
    for a, b in zip(found.values, expected.values, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    for a, b in zip(found.steps, expected.steps, strict=True):
        assert (a.operator, a.inputs, a.outputs) == (b.operator, b.inputs, b.outputs)
        assert set(a.attributes) == set(b.attributes)
        for key, value in a.attributes.items():
            np.testing.assert_array_equal(value, b.attributes[key])


@given(arrays_of.arrays(st.sampled_from(['f4', 'f8', 'f2', 'i1', 'u1', 'i4', 'i8', 'u8', '?']),
                        arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_constants_of_every_type_are_read(values, raw):
    if raw:
        proto = onnx.numpy_helper.from_array(values, 'w')
    else:
        proto = onnx.helper.make_tensor('w', onnx.helper.np_dtype_to_tensor_dtype(values.dtype), values.shape,
                                        values.reshape(-1).tolist())
    expected = onnx.numpy_helper.to_array(proto)
    found = stand_in_onnx.numpy_helper.to_array(stand_in_onnx.TensorProto(proto.SerializeToString()))
    assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


@given(st.binary(max_size=60), st.integers(0, 400))
@example(b'@\x00', 0)
@settings(max_examples=60, deadline=None)
def test_bytes_that_are_no_graph_are_refused_or_read_and_nothing_else(noise, cut):
    graph = build('L0').SerializeToString()[:cut]
    for data in (noise, graph, graph + noise):
        with contextlib.suppress(ValueError):
            stand_in_onnx.load_model_from_string(data)


def test_the_report_of_a_graph_is_the_one_that_was_packed(order, packed, tmp_path, monkeypatch):
    names = [f.name for f in dataclasses.fields(GraphReport)]
    assert [f.name for f in dataclasses.fields(stand_in_graph.GraphReport)] == names
    (tmp_path / 'graph.json').write_bytes(packed['lib/allegro_ai/allegro_ai/graph.json'])
    monkeypatch.setattr(stand_in_graph, '__file__', str(tmp_path / 'graph.py'))
    found, expected = (dataclasses.asdict(look(order.bundle.graph)) for look in (stand_in_graph.inspect, inspect))
    assert json.dumps(found) == json.dumps(expected), 'orders included'
    with pytest.raises(BundleError, match='not the graph'):
        stand_in_graph.inspect(order.bundle.graph + b'\0')


def test_documents_are_those_that_were_packed_and_no_others(order, packed, tmp_path, monkeypatch):
    (tmp_path / 'documents.json').write_bytes(packed['stand_ins/yaml/documents.json'])
    monkeypatch.setattr(stand_in_yaml, '__file__', str(tmp_path / 'yaml.py'))
    text = order.bundle.files['policy.yaml'].decode()
    assert json.dumps(stand_in_yaml.load(text)) == json.dumps(order.bundle.contract), 'orders included'
    assert list(stand_in_yaml.parse(text)) == []
    with pytest.raises(stand_in_yaml.YAMLError, match='not one of the pack'):
        stand_in_yaml.load(text + ' ')


# On a bare machine ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    """A Python that can import its standard library, numpy and ONNX Runtime, and nothing else."""
    folder = tmp_path_factory.mktemp('bare')
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    here = folder / 'lib' / f'python{sys.version_info[0]}.{sys.version_info[1]}' / 'site-packages'
    there = Path(np.__file__).parent.parent
    for pattern in ('numpy', 'numpy.libs', 'numpy-*', 'onnxruntime', 'onnxruntime-*'):
        for path in there.glob(pattern):
            (here / path.name).symlink_to(path)
    python = folder / 'bin' / 'python'
    tried = 'from importlib.util import find_spec as f; print([n for n in ("yaml", "onnx", "allegro_ai") if f(n)])'
    said = subprocess.run([python, '-c', tried], cwd=folder, env={}, capture_output=True, text=True)
    assert said.stdout.strip() == '[]'
    return python


def started(python, root, *words, flags=()):
    return subprocess.run([python, *flags, 'run.py', *words], cwd=root, env={}, capture_output=True, text=True,
                          timeout=120)


def test_a_bare_machine_measures_and_its_result_counts_at_home(order, packed, bare, tmp_path):
    root, away, home = tmp_path / 'pack', tmp_path / 'away', tmp_path / 'home'
    write(packed, root)
    done = started(bare, root, '--meter', 'none', '--quiet', '--output', str(away))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert 'Traceback' not in done.stderr
    assert damage(root) == '', 'a run leaves the pack as it was'
    document = load(away)
    assert [d for d in verify(away) if d.code != 'unfinished'] == []
    assert {b['name'] for b in document['backends']} >= {'onnxruntime/fp32', 'onnxruntime/int8_dynamic', 'numpy/fp32'}
    assert set(document['system']['libs']) == {'numpy', 'onnxruntime'}
    assert any('onnx, yaml' in note for note in document['run']['notes'])
    codes = {r['code'] for r in document['validity']['reasons']}
    assert not codes & {'crashed', 'failed', 'refused', 'wrong_answers', 'incomplete', 'nothing_measured'}

    setup = Setup(order.chosen, order.bundle, [engine('onnxruntime')], engine('numpy'), MINI, quiet=True)
    with EnergyRecorder(open_meters('none')) as recorder:
        Run(setup, home, recorder).carry_out()
    here = load(home)
    assert document['workload'] == here['workload']
    assert [r for r in refusals(document, here) if 'is invalid' not in r] == []
    artefacts = [{b['artifact_sha256'] for b in d['backends'] if b['name'] == 'onnxruntime/fp32'}
                 for d in (document, here)]
    assert artefacts[0] == artefacts[1] != {None}


def test_an_altered_pack_measures_nothing(packed, bare, tmp_path):
    write(packed, tmp_path / 'pack')
    statistics = tmp_path / 'pack/lib/allegro_bench/allegro_bench/statistics.py'
    statistics.write_text(statistics.read_text() + '\n')
    done = started(bare, tmp_path / 'pack', '--output', str(tmp_path / 'out'))
    assert done.returncode == 2
    assert 'statistics.py is not the file that was packed' in done.stderr
    assert not (tmp_path / 'out').exists()


def test_a_machine_without_numpy_is_told_so(packed, tmp_path):
    write(packed, tmp_path / 'pack')
    done = started(sys.executable, tmp_path / 'pack', '--plan', flags=['-I', '-S'])
    assert (done.returncode, done.stdout) == (2, '')
    assert 'pip install numpy' in done.stderr
    assert 'Traceback' not in done.stderr


def test_engines_that_are_absent_or_not_packed_are_named(order, bare, tmp_path):
    write(files(dataclasses.replace(order, engines=['openvino'])), tmp_path / 'pack')
    done = started(bare, tmp_path / 'pack', '--plan')
    assert (done.returncode, 'pip install openvino' in done.stderr) == (2, True)
    done = started(bare, tmp_path / 'pack', '--plan', '--backends', 'onnxruntime')
    assert (done.returncode, 'not in this pack' in done.stderr) == (2, True)


def test_the_command_packs_what_is_shipped(bare, tmp_path, capsys):
    assert main(['export', 'tactile_hold_linear', '--engines', 'numpy', '--profile', 'standard',
                 '--output', str(tmp_path / 'p')]) == 0
    plan = json.loads((tmp_path / 'p/plan.json').read_text())
    assert (plan['profile']['name'], plan['engines'], plan['bare']) == ('standard', ['numpy'], False)
    assert 'run.py' in capsys.readouterr().out
    done = started(bare, tmp_path / 'p', '--plan')
    assert done.returncode == 0, done.stderr
    assert 'to joint targets' in done.stdout
    assert main(['export', 'no_such_policy', '--output', str(tmp_path / 'q')]) == 2
    assert 'Traceback' not in capsys.readouterr().err
