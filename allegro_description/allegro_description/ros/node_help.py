"""What a node prints for ``--help``: what it is and which parameters it takes. Nothing of the node is started.

The base classes of :mod:`~allegro_description.ros.node` know a node's parameters when they are built. Asked for help,
they say them (:func:`speak_up`) instead of building a node of ROS.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

from allegro_description.config import Parameter, parameters

_WIDTH = 110
_asking: ContextVar[bool] = ContextVar('asking', default=False)


class _Spoken(BaseException):
    """Carries the answer past everything that handles an ``Exception``."""

    def __init__(self, text: str) -> None:
        self.text = text


def help_asked(words: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return '--help' in words or '-h' in words


def help_of(node_factory: Callable[[], Any]) -> str:
    """The help of the node that ``node_factory`` would build; '' where it is built on none of our base classes."""
    token = _asking.set(True)
    try:
        node_factory()
    except _Spoken as spoken:
        return spoken.text
    finally:
        _asking.reset(token)
    return ''


def speak_up(node_class: type[Any], name: str, configs: Iterable[type[Any] | None]) -> None:
    """For base classes of nodes, before anything else: end here if somebody asks for help."""
    if _asking.get():
        raise _Spoken(_text(node_class, name, configs))


def _text(node_class: type[Any], name: str, configs: Iterable[type[Any] | None]) -> str:
    about = [inspect.getdoc(thing) or '' for thing in (sys.modules[node_class.__module__], node_class)]
    declared: dict[str, Parameter] = {}
    for config in configs:
        for one in parameters(config) if config is not None else ():
            declared.setdefault(one.name, one)
    parts = [f'usage: {name} [--ros-args [-p NAME:=VALUE] [--params-file FILE] …]', '']
    parts += [textwrap.fill(text.split('\n\n')[0].replace('``', ''), _WIDTH) for text in about if text]
    parts += ['', f'{name} is a ROS 2 node. Its parameters:' if declared else f'{name} is a ROS 2 node.', '']
    return '\n'.join([*parts, *map(_explained, declared.values())])


def _explained(one: Parameter) -> str:
    limited = one.choices or one.low is not None or one.high is not None
    facts = [one.kind, f'default {one.default!r}', one.unit, one.allowed() if limited else '',
             'may change while it runs' if one.live else '']
    meaning = textwrap.fill(one.doc, _WIDTH, initial_indent=' ' * 6, subsequent_indent=' ' * 6)
    return f'  {one.name}   ({"; ".join(filter(None, facts))})\n{meaning}'
