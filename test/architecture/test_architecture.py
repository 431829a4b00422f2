"""The rules of the tree, checked: who may import whom, what may lie where, and that manifests tell the truth."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    'allegro_description': 'allegro_description',
    'allegro_driver': 'allegro_driver',
    'allegro_ai': 'allegro_ai',
    'allegro_bench': 'allegro_bench',
    'allegro_bringup': 'launch',
    'allegro_tests': 'test',
}
ABOVE = {  # package: the packages of the suite that it may import
    'allegro_description': set(),
    'allegro_driver': {'allegro_description'},
    'allegro_ai': {'allegro_description'},
    'allegro_bench': {'allegro_description', 'allegro_driver', 'allegro_ai'},
    'allegro_bringup': {'allegro_description', 'allegro_driver', 'allegro_ai', 'allegro_bench'},
    'allegro_tests': set(PACKAGES) - {'allegro_tests'},
}
ROS = re.compile(r'^(rclpy|rcl_interfaces|ament_index_python|builtin_interfaces|std_srvs|\w+_msgs)$')
LAUNCH = {'launch', 'launch_ros'}
HEAVY = {  # library: where it may be imported
    'mujoco': ('allegro_description/allegro_description/simulation/',),
    'torch': ('allegro_ai/allegro_ai/backends/', 'allegro_ai/allegro_ai/training/',
              'allegro_ai/allegro_ai/importing/hora_', 'allegro_ai/allegro_ai/evidence/hora_'),
    'onnxruntime': ('allegro_ai/allegro_ai/backends/',),
    'openvino': ('allegro_ai/allegro_ai/backends/',),
    'onnx': ('allegro_ai/allegro_ai/',),
    'viser': ('allegro_description/allegro_description/viewer/', 'allegro_bench/allegro_bench/viewing/'),
    'trimesh': ('allegro_description/allegro_description/viewer/',),
    'plotly': ('allegro_bench/allegro_bench/',),
    'mcap': ('allegro_bench/allegro_bench/',),
    'rosbags': ('allegro_bench/allegro_bench/',),
}
TOP_LEVEL = {*PACKAGES.values(), 'README.md', 'LICENSE', 'CONTRIBUTING.md', 'pyproject.toml', 'Makefile', 'colcon.meta'}
DECLARED_DEPENDENCIES = {'numpy': 'python3-numpy', 'yaml': 'python3-yaml'}


def modules():
    return sorted(path for name, folder in PACKAGES.items() for path in (ROOT / folder / name).rglob('*.py'))


def relative(path):
    return path.relative_to(ROOT).as_posix()


def package_of(path):
    return path.relative_to(ROOT).parts[1]


def imported(path):
    """Top-level names of all modules that a file imports, at any depth of it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition('.')[0])
    return found




def tracked():
    """Files of the repository, or nothing outside a clone."""
    done = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def test_there_is_something_to_check():
    assert len(modules()) > 30


@pytest.mark.parametrize('path', modules(), ids=relative)
def test_imports_point_down_only_and_ros_stays_in_its_shell(path):
    own, names = package_of(path), imported(path)
    suite = {name for name in names if name in PACKAGES and name != own}
    assert suite <= ABOVE[own], f'{relative(path)} imports {sorted(suite - ABOVE[own])}'
    shell = '/nodes/' in relative(path) or relative(path).startswith('allegro_description/allegro_description/ros/')
    if not shell:
        ros = {name for name in names if ROS.match(name)}
        assert not ros, f'{relative(path)} imports {sorted(ros)}; only nodes/ and allegro_description/ros/ may'
        assert not re.search(r'^\s*from allegro_description\.ros\b', path.read_text(), re.M), relative(path)
    launch = names & LAUNCH
    assert not launch or relative(path) == 'launch/allegro_bringup/ros_launch.py', f'{relative(path)} imports {launch}'
    for library in names & set(HEAVY):
        assert relative(path).startswith(HEAVY[library]), f'{relative(path)} imports {library}, not in {HEAVY[library]}'


def test_pure_packages_import_without_ros_and_without_heavy_libraries():
    """What a command line tool loads before it knows what it is asked for."""
    code = (
        'import sys\n'
        'import allegro_description.model, allegro_description.kinematics, allegro_description.plugins\n'
        'import allegro_bringup.graph, allegro_bringup.arguments\n'
        f'heavy = {sorted(HEAVY)!r} + ["rclpy", "launch_ros"]\n'
        'print([name for name in heavy if name in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_no_module_is_a_grab_bag_or_hides_a_library():
    for path in modules():
        assert not set(path.parts) & {'utils', 'helpers', 'common'}, relative(path)
        assert path.stem not in {'utils', 'helpers', 'common', 'util', 'misc'}, relative(path)
        assert path.stem not in {'can', 'mujoco', 'onnxruntime', 'torch', 'openvino', 'viser', 'launch'}, relative(path)


def test_modules_stay_readable():
    long = {relative(p): n for p in modules() if (n := len(p.read_text().splitlines())) > 400}
    assert not long, f'split these: {long}'


def test_folders_that_would_hide_other_modules_are_no_packages():
    for name in ('launch', 'test'):
        assert not (ROOT / name / '__init__.py').exists(), f'{name}/__init__.py would hide the module {name!r}'
    assert not (ROOT / 'test' / 'launch').exists()
    for folder in PACKAGES.values():
        tests = ROOT / folder / 'test' if folder != 'test' else ROOT / 'test'
        assert not (tests / '__init__.py').exists(), tests


def test_file_names_of_tests_are_unique():
    names = Counter(path.name for folder in PACKAGES.values() for path in (ROOT / folder).rglob('test_*.py'))
    assert not [name for name, count in names.items() if count > 1]


def test_top_level_holds_what_it_should():
    files = tracked()
    if not files:
        pytest.skip('not a clone')
    top = {file.partition('/')[0] for file in files}
    assert {name for name in top if not name.startswith('.')} <= TOP_LEVEL


@pytest.mark.parametrize(('package', 'folder'), PACKAGES.items())
def test_manifests_agree(package, folder):
    setup = (ROOT / folder / 'setup.py').read_text()
    manifest = ET.parse(ROOT / folder / 'package.xml').getroot()
    assert manifest.findtext('name') == package
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert f"NAME = '{package}'" in setup
    assert f"version='{manifest.findtext('version')}'" in setup
    assert f"license='{manifest.findtext('license')}'" in setup
    assert manifest.findtext('license') == 'Apache-2.0'
    assert manifest.findtext('description') in setup
    assert "'test': ['pytest'" in setup, 'without this extra, colcon test runs nothing and says OK'
    assert (ROOT / folder / 'resource' / package).is_file()
    assert f'lib/{package}' in (ROOT / folder / 'setup.cfg').read_text()
    assert (ROOT / folder / package / 'py.typed').is_file()


@pytest.mark.parametrize(('package', 'folder'), PACKAGES.items())
def test_every_package_that_is_imported_is_declared(package, folder):
    manifest = ET.parse(ROOT / folder / 'package.xml').getroot()
    declared = {e.text for tag in ('depend', 'exec_depend') for e in manifest.iter(tag)}
    used = set().union(*(imported(p) for p in (ROOT / folder / package).rglob('*.py')))
    needed = {name for name in used if ROS.match(name) or name in PACKAGES} - {package}
    needed |= {DECLARED_DEPENDENCIES[name] for name in used & set(DECLARED_DEPENDENCIES)}
    assert needed <= declared, f'{folder}/package.xml lacks {sorted(needed - declared)}'


def entry_points():
    found = []
    for folder in PACKAGES.values():
        for target in re.findall(r"'([\w-]+) = ([\w.]+):(\w+)'", (ROOT / folder / 'setup.py').read_text()):
            found.append((folder, *target))
    return found


@pytest.mark.parametrize(('folder', 'name', 'module', 'attribute'), entry_points(), ids=lambda text: text)
def test_entry_points_lead_somewhere(folder, name, module, attribute):
    path = ROOT / folder / Path(*module.split('.'))
    path = path.with_suffix('.py') if path.with_suffix('.py').exists() else path / '__init__.py'
    assert path.exists(), f'{name}: no module {module}'
    defined = {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}
    assert attribute in defined, f'{name}: {module} defines no {attribute}()'


def test_every_program_of_the_launch_graph_is_an_entry_point():
    from allegro_bringup.arguments import ProfileArgs
    from allegro_bringup.graph import profile_graph

    known = {(package, name) for package, folder in PACKAGES.items() for f, name, _, _ in entry_points() if f == folder}
    used = {(s.package, s.executable) for s in profile_graph(ProfileArgs(output_dir='x', viewer=True))}
    assert used <= known


def test_no_path_of_one_machine_is_tracked():
    for file in tracked():
        if file.endswith(('.py', '.md', '.yaml', '.xml', '.txt', '.toml', 'Makefile')):
            text = (ROOT / file).read_text(errors='replace')
            assert not re.search(r'(?<![\w.])/(?:root|home/\w+)/', text), file
