"""Two hands in one tree of frames: the same hand with a prefix before every name that other nodes see."""

from __future__ import annotations

import re
from dataclasses import replace

from allegro_description.errors import ConfigError
from allegro_description.model import HandModel

_ALLOWED = re.compile(r'[A-Za-z][A-Za-z0-9_]*')


def prefixed(model: HandModel, prefix: str) -> HandModel:
    """The hand with ``prefix`` before the names of joints, links and frames; taxels and fingers keep theirs.

    Order and numbers are the same, so arrays of one model fit the other: use the prefixed one for messages.

    Raises:
        ConfigError: the prefix is not a letter followed by letters, digits and underscores.
    """
    if not prefix:
        return model
    if not _ALLOWED.fullmatch(prefix):
        raise ConfigError(
            f'prefix is {prefix!r}; allowed: a letter, then letters, digits and underscores, e.g. left_')
    return replace(
        model,
        palm=prefix + model.palm,
        joints=tuple(
            replace(j, name=prefix + j.name, parent=prefix + j.parent, child=prefix + j.child) for j in model.joints),
        fingers=tuple(
            replace(f, joints=tuple(prefix + name for name in f.joints), tip=prefix + f.tip) for f in model.fingers),
        frames=tuple(replace(f, name=prefix + f.name, parent=prefix + f.parent) for f in model.frames),
        links=tuple(replace(link, name=prefix + link.name) for link in model.links),
        taxels=tuple(replace(t, frame=prefix + t.frame) for t in model.taxels),
        orders={name: tuple(prefix + joint for joint in order) for name, order in model.orders.items()},
    )
