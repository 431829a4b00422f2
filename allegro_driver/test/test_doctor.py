"""The doctor on machines that are ill in known ways, and on this one."""

import fnmatch
import json
import socket
import sys
import types

import pytest
from allegro_description.model import load_hand
from allegro_driver.cli import main, parser
from allegro_driver.commands import doctor as command
from allegro_driver.doctor import CHECKS, Level, Wanted, examine
from allegro_driver.doctor.can_checks import can_links, check_can
from allegro_driver.doctor.machine import UNLIMITED, Machine, ThisMachine
from allegro_driver.doctor.network_checks import check_network, wired_interfaces
from allegro_driver.doctor.python_checks import check_python
from allegro_driver.doctor.realtime_checks import check_realtime
from allegro_driver.doctor.ros_checks import check_ros
from allegro_driver.emulator.background import running_emulator
from allegro_driver.ros2_doctor import HandCheck, hand_check
from wire_hand import WireHand

CAN0 = {
    'ifindex': 3, 'ifname': 'can0', 'flags': ['NOARP', 'UP', 'LOWER_UP', 'ECHO'], 'mtu': 16, 'operstate': 'UP',
    'txqlen': 10, 'link_type': 'can', 'linkinfo': {'info_kind': 'can', 'info_data': {
        'state': 'ERROR-ACTIVE', 'berr_counter': {'tx': 0, 'rx': 0}, 'restart_ms': 100,
        'bittiming': {'bitrate': 1000000, 'sample_point': '0.750'}}},
}
WIRED = json.dumps([{'ifname': 'lo', 'link_type': 'loopback'}, {'ifname': 'enp3s0', 'link_type': 'ether'},
                    {'ifname': 'wlp2s0', 'link_type': 'ether'}, {'ifname': 'docker0', 'link_type': 'ether'}])
IP_CAN = ('ip', '-details', '-json', 'link', 'show', 'type', 'can')


class FakeMachine:
    """A machine in perfect order; tests spoil it."""

    def __init__(self, **spoiled):
        self.commands = {IP_CAN: json.dumps([CAN0]), ('ip', '-V'): 'ip utility',
                         ('ip', '-json', 'link', 'show'): WIRED}
        self.files = {'/proc/sys/kernel/osrelease': '6.8.0\n',
                      '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'performance\n',
                      '/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor': 'performance\n'}
        self.unusable, self.variables = (), {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_DISTRO': 'kilted'}
        self.limits = {'RTPRIO': 99, 'MEMLOCK': UNLIMITED, 'NICE': 40}
        self.packages = {'numpy': '2.0', 'yaml': '6.0', 'can': '4.5', 'mujoco': '3.2', 'rclpy': '9.1'}
        self.version, self.busy, self.source, self.no_can = (3, 12, 1), {}, '192.168.0.10', ''
        self.member, self.superuser = {'dialout'}, False
        for name, value in spoiled.items():
            assert hasattr(self, name)
            setattr(self, name, value)

    def run(self, *words):
        return self.commands.get(words)

    def read(self, path):
        return self.files.get(path)

    def paths(self, pattern):
        return sorted(path for path in self.files if fnmatch.fnmatch(path, pattern))

    def usable(self, path):
        return path not in self.unusable

    def variable(self, name):
        return self.variables.get(name, '')

    def limit(self, name):
        return self.limits[name]

    def python(self):
        return self.version

    def package(self, distribution, module):
        return self.packages.get(module)

    def user(self):
        return 'ada'

    def root(self):
        return self.superuser

    def groups(self):
        return self.member

    def can_socket(self):
        return self.no_can

    def udp_port(self, port):
        return self.busy.get(port, '')

    def source_address(self, ip):
        return self.source


def can0(up=True, **info):
    """The interface with other facts; nested ones as they are in the JSON."""
    link = json.loads(json.dumps(CAN0))
    link['linkinfo']['info_data'].update(info)
    if not up:
        link['flags'].remove('UP')
    return {IP_CAN: json.dumps([link]), ('ip', '-V'): 'ip utility'}


def bad(findings):
    return [f for f in findings if f.level is not Level.OK]


def test_a_machine_in_order_has_nothing_to_mend():
    machine: Machine = FakeMachine()
    report = examine(machine, Wanted(link='can', interface='can0'))
    assert set(report) == set(CHECKS)
    assert not [f for rows in report.values() for f in bad(rows)]
    assert all(f.found for rows in report.values() for f in rows)


@pytest.mark.parametrize(('check', 'spoiled', 'wanted', 'level', 'says', 'remedy'), [
    (check_python, {'version': (3, 10, 2)}, {}, 'FAIL', '3.10.2; the suite needs 3.11', 'python3.11'),
    (check_python, {'packages': {'yaml': '6', 'can': '4', 'mujoco': '3'}}, {}, 'FAIL', 'needed for everything',
     'pip install numpy'),
    (check_python, {'packages': {'numpy': '2', 'yaml': '6', 'mujoco': '3'}}, {}, 'WARN', 'CAN adapters', 'python-can'),
    (check_python, {'packages': {'numpy': '2', 'yaml': '6', 'mujoco': '3'}}, {'link': 'can'}, 'FAIL', 'CAN adapters',
     'python-can'),
    (check_can, {'commands': can0(up=False)}, {}, 'FAIL', 'down',
     'sudo ip link set can0 up type can bitrate 1000000 restart-ms 100'),
    (check_can, {'commands': can0(bittiming={'bitrate': 500000})}, {}, 'FAIL', '500000 bit/s', 'can0 down && sudo ip'),
    (check_can, {'commands': can0(state='BUS-OFF')}, {}, 'FAIL', 'switched itself off', 'can0 down'),
    (check_can, {'commands': can0(state='ERROR-PASSIVE', berr_counter={'tx': 128, 'rx': 0})}, {}, 'FAIL', 'tx 128',
     'can0 down'),
    (check_can, {'commands': can0(state='ERROR-WARNING')}, {}, 'WARN', '120 ohm', 'can0 down'),
    (check_can, {'commands': can0(restart_ms=0)}, {}, 'WARN', 'stays off', 'restart-ms 100'),
    (check_can, {'commands': can0(ctrlmode=['LISTEN-ONLY'])}, {}, 'FAIL', 'nothing can be sent', 'listen-only off'),
    (check_can, {}, {'interface': 'can7', 'link': 'can'}, 'FAIL', 'there are: can0', 'ip -br link'),
    (check_can, {'commands': {IP_CAN: '[]'}}, {'link': 'can'}, 'FAIL', 'no CAN interface', 'plug the adapter in'),
    (check_can, {'commands': {IP_CAN: '[]'}}, {'link': 'can', 'adapter': 'socketcan', 'interface': 'can0'}, 'FAIL',
     'there are: none', 'plug the adapter in'),
    (check_can, {'commands': {('ip', '-V'): 'ip utility'}},
     {'link': 'can', 'adapter': 'socketcan', 'interface': 'can0'}, 'FAIL', 'there are: none', 'plug the adapter in'),
    (check_can, {'commands': {}}, {'link': 'can', 'adapter': 'slcan', 'interface': '/dev/ttyACM3'}, 'FAIL',
     'no such serial line; there are: none', 'ls /dev/ttyACM* /dev/ttyUSB*'),
    (check_can, {'files': {'/dev/ttyACM0': ''}, 'unusable': ('/dev/ttyACM0',), 'member': set()},
     {'link': 'can', 'adapter': 'slcan', 'interface': '/dev/ttyACM0'}, 'FAIL', 'not in the group dialout', 'usermod'),
    (check_can, {'commands': {('ip', '-V'): 'ip utility'}}, {}, 'WARN', 'no CAN interface', 'plug the adapter in'),
    (check_can, {'no_can': 'not supported'}, {'link': 'can'}, 'FAIL', 'not supported', 'modprobe can_raw'),
    (check_can, {'files': {'/dev/ttyACM0': ''}, 'unusable': ('/dev/ttyACM0',), 'member': set()}, {}, 'WARN',
     'ada is not in the group dialout', 'sudo usermod -aG dialout ada'),
    (check_can, {'files': {'/dev/ttyUSB1': ''}, 'unusable': ('/dev/ttyUSB1',)}, {}, 'WARN', 'may not use it',
     'ls -l /dev/ttyUSB1'),
    (check_network, {'source': '10.0.0.7'}, {}, 'WARN', 'packets would leave from 10.0.0.7',
     'sudo ip address add 192.168.0.10/24 dev enp3s0'),
    (check_network, {'source': ''}, {'link': 'udp'}, 'FAIL', 'no route', 'dev enp3s0'),
    (check_network, {'source': '192.168.0.50'}, {}, 'WARN', 'has the address of the hand', 'address del 192.168.0.50'),
    (check_network, {'busy': {8000: 'Address already in use'}}, {'link': 'udp'}, 'FAIL', 'another driver',
     "ss -lunp 'sport = :8000'"),
    (check_network, {'busy': {7000: 'Address already in use'}}, {}, 'WARN', 'Fast DDS', 'hand_emulator --port'),
    (check_realtime, {'limits': {'RTPRIO': 0, 'MEMLOCK': UNLIMITED, 'NICE': 40}}, {}, 'WARN', 'asks for 60',
     "echo 'ada - rtprio 70' | sudo tee -a /etc/security/limits.d/allegro-hand.conf"),
    (check_realtime, {'limits': {'RTPRIO': 99, 'MEMLOCK': 65536, 'NICE': 40}}, {}, 'WARN', 'up to 0 MiB',
     'memlock unlimited'),
    (check_realtime, {'limits': {'RTPRIO': 99, 'MEMLOCK': UNLIMITED, 'NICE': 20}}, {}, 'WARN', 'asks for -15',
     'nice -15'),
    (check_realtime, {'files': {'/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'powersave\n'}}, {}, 'WARN',
     '1 x powersave', 'cpupower frequency-set -g performance'),
    (check_ros, {'variables': {}}, {}, 'WARN', 'whoever is in domain 0', 'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST'),
    (check_ros, {'variables': {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}}, {}, 'FAIL', 'do not find', 'LOCALHOST'),
    (check_ros, {'variables': {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'HOME'}}, {}, 'FAIL', 'means nothing', 'LOCALHOST'),
    (check_ros, {'variables': {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_DOMAIN_ID': 'x'}}, {}, 'FAIL',
     'no whole number', 'ROS_DOMAIN_ID=42'),
    (check_ros, {'variables': {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_DOMAIN_ID': '200'}}, {}, 'WARN',
     'above 101', 'ROS_DOMAIN_ID=42'),
])
def test_what_is_wrong_is_found_with_its_remedy(check, spoiled, wanted, level, says, remedy):
    found = bad(check(FakeMachine(**spoiled), Wanted(**wanted)))
    assert len(found) == 1, found
    assert found[0].level is Level(level)
    assert says in found[0].found
    assert remedy in found[0].remedy


SERIAL = {'/dev/ttyACM0': '', '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'performance'}


@pytest.mark.parametrize(('spoiled', 'wanted'), [
    ({'no_can': 'not supported', 'commands': {}, 'source': '', 'busy': {7000: 'in use', 8000: 'in use'},
      'packages': {'numpy': '2.0', 'yaml': '6.0', 'mujoco': '3.2'}, 'files': SERIAL},
     {'link': 'can', 'adapter': 'slcan', 'interface': '/dev/ttyACM0'}),
    ({'no_can': 'not supported', 'commands': can0(up=False), 'source': ''},
     {'link': 'can', 'adapter': 'pcan', 'interface': 'PCAN_USBBUS1'}),
    ({'files': SERIAL, 'unusable': ('/dev/ttyACM0',)}, {'link': 'can', 'adapter': 'socketcan', 'interface': 'can0'}),
    ({'no_can': 'not supported', 'commands': can0(up=False),
      'packages': {'numpy': '2.0', 'yaml': '6.0', 'mujoco': '3.2'}}, {'link': 'udp'}),
])
def test_what_the_address_does_not_need_is_no_trouble(spoiled, wanted):
    report = examine(FakeMachine(**spoiled), Wanted(**wanted))
    assert not [f for rows in report.values() for f in bad(rows)]


def test_another_interface_that_is_down_does_not_matter_to_the_one_that_is_named():
    down = {**CAN0, 'ifname': 'can1', 'flags': []}
    machine = FakeMachine(commands={IP_CAN: json.dumps([CAN0, down]), ('ip', '-V'): 'ip utility'})
    named = Wanted(link='can', adapter='socketcan', interface='can0')
    assert [f.topic for f in check_can(machine, named)] == ['SocketCAN', 'interface can0']
    assert bad(check_can(machine, named)) == []
    assert [f.topic for f in bad(check_can(machine, Wanted()))] == ['interface can1']


def test_without_ip_and_without_ros_it_says_so():
    machine = FakeMachine(commands={}, packages={'numpy': '2', 'yaml': '6', 'can': '4', 'mujoco': '3'})
    assert 'iproute2' in bad(check_can(machine, Wanted()))[0].remedy
    assert bad(check_ros(machine, Wanted())) == []


def test_a_virtual_interface_will_do_for_tests():
    look = ('ip', '-details', '-json', 'link', 'show', 'dev', 'vcan0')
    link = {'ifname': 'vcan0', 'flags': ['NOARP', 'UP'], 'linkinfo': {'info_kind': 'vcan'}}
    machine = FakeMachine()
    machine.commands[look] = json.dumps([link])
    assert bad(check_can(machine, Wanted(interface='vcan0'))) == []
    machine.commands[look] = json.dumps([{**link, 'flags': ['NOARP']}])
    assert bad(check_can(machine, Wanted(interface='vcan0')))[0].remedy == 'sudo ip link set vcan0 up'


@pytest.mark.parametrize('text', [None, '', 'Device not found', '{}', '3', '[1, null, {}]', '[{"ifname": 4}]'])
def test_what_ip_says_is_never_trusted(text):
    assert not can_links(text)
    assert wired_interfaces(text if text != '3' and text != '{}' else '[]') == []
    machine = FakeMachine(commands={IP_CAN: text, ('ip', '-V'): 'ip'})
    assert check_can(machine, Wanted())


@pytest.mark.parametrize('link', [
    {'ifname': 'can0'}, {'ifname': 'can0', 'flags': 3}, {'ifname': 'can0', 'flags': ['UP'], 'linkinfo': []},
    {'ifname': 'can0', 'flags': ['UP'], 'linkinfo': {'info_data': {'bittiming': 4, 'berr_counter': None}}}])
def test_half_an_interface_is_a_finding_and_no_traceback(link):
    findings = check_can(FakeMachine(commands={IP_CAN: json.dumps([link])}), Wanted())
    assert [f for f in findings if f.topic == 'interface can0']


def test_this_machine_answers_every_question():
    machine: Machine = ThisMachine()
    assert machine.run('no-such-program-anywhere') is None
    assert machine.run('false') is None
    assert machine.run('echo', 'a') == 'a\n'
    assert machine.read('/no/such/file') is None
    assert machine.package('numpy', 'numpy')
    assert machine.package('nothing', 'no_such_module') is None
    assert machine.source_address('127.0.0.1') == '127.0.0.1'
    report = examine(machine, Wanted())
    assert all(f.remedy for rows in report.values() for f in rows if f.level is not Level.OK)


def test_a_port_in_use_is_noticed():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(('', 0))
        port = other.getsockname()[1]
        assert ThisMachine().udp_port(port)
    assert ThisMachine().udp_port(port) == ''


# The command


def run(words, machine=None):
    options = parser().parse_args(['doctor', *words])
    return command.run(options, machine or FakeMachine())


def test_exit_code_and_text(capsys):
    assert run(['--all']) == 0
    assert 'can0' in capsys.readouterr().out
    assert run([], FakeMachine(source='10.0.0.1')) == 0
    assert run(['--link', 'udp'], FakeMachine(source='10.0.0.1')) == 1
    text = capsys.readouterr().out
    assert 'FAIL way to 192.168.0.50' in text
    assert '-> sudo ip address add' in text


def test_the_hand_itself_is_asked(capsys):
    model = load_hand()
    with WireHand(model) as wire:
        assert run([wire.address, '--all']) == 0
        assert '5SBR0001' in capsys.readouterr().out
        assert not wire.torques()
    with WireHand(model, serial='5SBL0001') as wire:
        assert run([wire.address]) == 1
        assert 'left hand' in capsys.readouterr().out
    assert run(['127.0.0.1:1:0', '--timeout', '0.05']) == 1
    assert 'check power' in capsys.readouterr().out


def test_a_hand_that_answers_on_a_serial_line_is_all_that_is_needed(capsys):
    with running_emulator(model='v4', wire='slcan') as emulator:
        path = emulator.address.removeprefix('slcan:').partition('#')[0]
        machine = FakeMachine(no_can='not supported', commands={}, source='', files={path: ''})
        assert run([emulator.address, '--model', 'v4'], machine) == 0
        text = capsys.readouterr().out
        assert ' 0 failed, 0 warnings' in text
        assert run([emulator.address, '--model', 'v4', '--all'], machine) == 0
        assert emulator.firmware.serial in capsys.readouterr().out


def test_a_wrong_question_is_a_sentence(capsys):
    assert main(['doctor', 'nonsense', '--link', 'udp']) == 2
    assert 'IPv4' in capsys.readouterr().err
    assert main(['doctor', '--model', 'v9']) == 2


# Inside ros2 doctor


@pytest.fixture
def ros2doctor(monkeypatch):
    """A stand-in for the package: what a check may use of it."""
    said = []

    class Result:
        error = warning = 0

        def add_error(self):
            self.error += 1

        def add_warning(self):
            self.warning += 1

    api, form = types.ModuleType('ros2doctor.api'), types.ModuleType('ros2doctor.api.format')
    api.Result = Result
    form.doctor_error = lambda text: said.append(('error', text))
    form.doctor_warn = lambda text: said.append(('warning', text))
    for name, module in (('ros2doctor', types.ModuleType('ros2doctor')), (api.__name__, api), (form.__name__, form)):
        monkeypatch.setitem(sys.modules, name, module)
    return said


def test_ros2_doctor_hears_of_failures_and_warnings(ros2doctor):
    machine = FakeMachine(commands=can0(up=False), source='10.0.0.7')
    check = HandCheck(machine)
    assert check.category() == 'allegro hand'
    result = check.check()
    assert (result.error, result.warning) == (1, 1)
    assert [kind for kind, _ in ros2doctor] == ['error', 'warning']
    assert 'sudo ip link set can0 up' in ros2doctor[0][1]
    assert HandCheck(FakeMachine()).check().error == 0


def test_the_entry_point_makes_the_check():
    """ros2doctor loads the entry point and calls it without arguments."""
    assert hand_check().category()
