"""The node that test_ros_node.py starts, stops and breaks from outside. Says each hook on stdout."""

import socket
import sys
from dataclasses import dataclass

from allegro_description.config import parameter
from allegro_description.errors import ConfigError, LinkTimeout
from allegro_description.ros.node import ManagedNode, PlainNode, run
from std_msgs.msg import String


@dataclass(frozen=True, slots=True)
class ChildConfig:
    fail: str = parameter('', 'where to fail', choices=('', 'build', 'configure', 'activate', 'deactivate', 'block',
                                                        'callback', 'bug'))
    times: int = parameter(1000, 'how often to fail')
    rate_hz: float = parameter(100.0, 'rate', unit='Hz', low=1.0, high=300.0)


class Child(ManagedNode):
    def __init__(self):
        super().__init__('child', ChildConfig)
        if self.config.fail == 'build':
            raise ConfigError('the child was told to fail')
        self.failures, self.echoed, self.timer = 0, 0, None
        self.publisher = self.create_lifecycle_publisher(String, 'echo', 10)
        self.create_subscription(String, 'ask', self.asked, 10)

    def asked(self, message):
        if self.config.fail == 'callback':
            raise ValueError('broken callback')
        self.echoed += 1
        self.publisher.publish(message)

    def stumble(self, where):
        print(where, flush=True)
        if self.config.fail == where and self.failures < self.config.times:
            self.failures += 1
            raise LinkTimeout(f'no answer while told to fail in {where}')

    def configure_hand(self):
        if self.config.fail == 'block':
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
                link.bind(('127.0.0.1', 0))
                link.settimeout(30)
                print('blocking', flush=True)
                link.recv(1)
        if self.config.fail == 'bug':
            raise KeyError('bug')
        self.stumble('configure')

    def activate_hand(self):
        self.stumble('activate')
        self.timer = self.create_timer(0.003, lambda: None)

    def deactivate_hand(self):
        if self.timer is not None:
            self.destroy_timer(self.timer)
        self.stumble('deactivate')

    def cleanup_hand(self):
        print('cleanup', flush=True)

    def diagnostics(self):
        return 0, 'echoing', {'echoed': self.echoed}


class Plain(PlainNode):
    def __init__(self):
        super().__init__('plain', ChildConfig)
        if self.config.fail == 'bug':
            self.create_timer(0.01, lambda: self.request_exit())

    def finish(self):
        print('finish', flush=True)


if __name__ == '__main__':
    sys.exit(run(Plain if '--plain' in sys.argv else Child))
