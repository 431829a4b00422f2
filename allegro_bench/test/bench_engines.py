"""Backends with one fault each, for tests. They compute in numpy and turn bad after so many calls."""

import os
import signal
import time

import numpy as np
from allegro_ai.backends import BACKENDS, only_precision

LOADING = 257
"""Calls before the warm-up of rung L0: the first inference and its 256 golden steps."""
TURN = LOADING + 50 + 30
"""With a warm-up of 50 ticks this is the 30th tick of the first block."""


class Honest:
    """Computes what it is asked for."""

    name, faithful, precisions = 'honest', True, ('fp32',)

    def __init__(self, model, spec, precision='fp32'):
        only_precision(self, precision)
        self._engine = BACKENDS.load('numpy')(model, spec)
        self.calls = 0

    def run(self, inputs):
        self.calls += 1
        found = self._engine.run(inputs)
        return self.turn(inputs, found) if self.calls > TURN else found

    def turn(self, inputs, found):
        return found

    def close(self):
        pass


class Crashing(Honest):
    def turn(self, inputs, found):
        print('out of coffee', flush=True)
        os._exit(3)


class Killed(Honest):
    def turn(self, inputs, found):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)


class Hanging(Honest):
    def turn(self, inputs, found):
        time.sleep(60)


class Raising(Honest):
    def turn(self, inputs, found):
        raise RuntimeError('no more tensors')


class NotANumber(Honest):
    def turn(self, inputs, found):
        return {name: np.full_like(value, np.nan) for name, value in found.items()}


class Lying(Honest):
    """Exact when it is checked, a cheaper computation when it is timed."""

    def turn(self, inputs, found):
        return {name: value.astype(np.float16).astype(np.float32) + np.float32(1e-3) for name, value in found.items()}


class Wrong(Honest):
    """Never computes this graph."""

    def run(self, inputs):
        return {name: value + np.float32(0.1) for name, value in super().run(inputs).items()}


class Late(Honest):
    def turn(self, inputs, found):
        time.sleep(0.012)
        return found


class Leaking(Honest):
    def turn(self, inputs, found):
        kept = self.__dict__.setdefault('kept', [])
        kept.append(np.ones(50_000))
        return found


class Caching(Honest):
    """Remembers its answers."""

    def run(self, inputs):
        memory = self.__dict__.setdefault('memory', {})
        key = b''.join(value.tobytes() for value in inputs.values())
        if key not in memory:
            memory[key] = super().run(inputs)
        return memory[key]


class Unloadable(Honest):
    def __init__(self, model, spec, precision='fp32'):
        raise OSError('libengine.so.7: cannot open shared object file')
