"""A node of a test that hears topics and says things, and how often it may."""

import time


def every_10_ms(action):
    """Call ``action`` that often at most: an executor that is spun once takes one event, and floods would pile up."""
    due = [0.0]

    def paced():
        if time.monotonic() >= due[0]:
            due[0] = time.monotonic() + 0.01
            action()

    return paced


class Ears:
    """A node that hears topics and says things."""

    def __init__(self, graph, name='client', **kwargs):
        self.node, self.heard, self._mouths = graph.node(name, **kwargs), {}, {}

    def hear(self, kind, topic, qos=10):
        self.heard[topic] = []
        self.node.create_subscription(kind, topic, self.heard[topic].append, qos)

    def mouth(self, kind, topic, qos=1):
        if topic not in self._mouths:
            self._mouths[topic] = self.node.create_publisher(kind, topic, qos)
        return self._mouths[topic]

    def say(self, message, topic, qos=1):
        self.mouth(type(message), topic, qos).publish(message)
