"""Measurements go to whoever listens, and to nobody else; waits of the UDP link end when they should."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from allegro_description.model import load_hand
from allegro_description.state import HandState
from allegro_driver.link.udp import UdpLink
from allegro_driver.nodes.hand_publisher import HandPublisher

MODEL = load_hand()


class Topic:
    """A publisher that remembers how much it was given."""

    def __init__(self) -> None:
        self.listeners, self.published = 0, 0

    def get_subscription_count(self) -> int:
        return self.listeners

    def publish(self, message: object) -> None:
        self.published += 1


class Node:
    """What the publisher needs of a node."""

    def __init__(self, now_ns: int | None = None) -> None:
        self.topics: dict[str, Topic] = {}
        self.clock = SimpleNamespace(
            ros_time_is_active=now_ns is not None, now=lambda: SimpleNamespace(nanoseconds=now_ns))

    def get_clock(self) -> Any:
        return self.clock

    def create_lifecycle_publisher(self, kind: type, name: str, qos: object) -> Topic:
        return self.topics.setdefault(name, Topic())


def publish(publisher: HandPublisher, count: int) -> None:
    zeros = np.zeros(16)
    for k in range(count):
        publisher.publish(HandState(k, k, MODEL.pose('home'), zeros, zeros, zeros))


def test_publishes_to_those_who_listen_only() -> None:
    node = Node()
    publisher = HandPublisher(node)
    states, touch = node.topics['joint_states'], node.topics['tactile/raw']
    publisher.begin(MODEL, 2)
    publish(publisher, 400)
    assert states.published == touch.published < 60  # until it has looked for the first time
    states.listeners, before = 1, states.published
    publish(publisher, 400)
    assert states.published - before >= 150  # from the next look on
    assert touch.published == before
    touch.listeners = 1
    publish(publisher, 400)
    assert touch.published - before >= 150


def test_simulated_time_is_asked_each_time_and_the_system_clock_is_read_without_objects() -> None:
    assert abs(HandPublisher(Node(5_000)).offset_ns() - (5_000 - time.monotonic_ns())) < 1e9
    assert abs(HandPublisher(Node()).offset_ns() - (time.time_ns() - time.monotonic_ns())) < 1e8


@pytest.mark.parametrize('wait_s', [0.0, 0.004, 0.02, 0.06])
def test_waits_last_as_long_as_asked(wait_s: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(('127.0.0.1', 0))
        link = UdpLink(f'127.0.0.1:{peer.getsockname()[1]}:0')
        link.open()
        try:
            begin = time.monotonic()
            assert link.receive(wait_s) is None
            assert wait_s - 0.002 <= time.monotonic() - begin < wait_s + 0.5
        finally:
            link.close()


def test_what_comes_during_a_long_wait_ends_it_and_a_stranger_does_not() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        peer.bind(('127.0.0.1', 0))
        link = UdpLink(f'127.0.0.1:{peer.getsockname()[1]}:0')
        link.open()
        try:
            to = ('127.0.0.1', link.local_port)
            timers = [threading.Timer(after, sock.sendto, (data, to))
                      for after, sock, data in ((0.03, stranger, b'no'), (0.08, peer, b'yes'))]
            for timer in timers:
                timer.start()
            begin = time.monotonic()
            assert link.receive(5.0) == b'yes'
            assert 0.06 < time.monotonic() - begin < 2.0
            assert link.counts.foreign == 1
            assert link.receive(0.0) is None
        finally:
            link.close()
