"""Compiled models, kept: one for each kind of object, fitted in place to the object at hand.

Compiling takes some milliseconds, copying a compiled model a fifth of one. Size of primitives, scale of compounds,
mass, inertia, mass centre, friction and colour are written into the copy; what MuJoCo derives of them is derived anew.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np

from allegro_description.mjcf import OBJECT, Physics, Scene, build_mjcf
from allegro_description.model import HandModel
from allegro_description.simulation.objects import ObjectSpec
from allegro_description.simulation.solids import PRIMITIVES

KEPT = 192
_compiled: OrderedDict[tuple[Any, ...], tuple[HandModel, Any]] = OrderedDict()


def model_for(hand: HandModel, obj: ObjectSpec | None, *, timestep: float, actuation: str, physics: Physics) -> Any:
    """A MuJoCo model of the hand with the object that the caller may change as it likes.

    Raises:
        UnknownName, ConfigError: as :func:`~allegro_description.mjcf.build_mjcf`.
    """
    kind = None if obj is None else (obj.shape, obj.parts)
    key = (id(hand), timestep, actuation, physics, kind)
    if key in _compiled:
        _compiled.move_to_end(key)
    else:
        text = build_mjcf(hand, scene=Scene(None if obj is None else _plain(obj), physics=physics),
                          actuation=actuation, timestep=timestep)
        # the hand is kept with it: while it lives, no other hand has its id
        _compiled[key] = (hand, mujoco.MjModel.from_xml_string(text))
        if len(_compiled) > KEPT:
            _compiled.popitem(last=False)
    model = copy.copy(_compiled[key][1])
    if obj is not None:
        _fit(model, obj)
    return model


def _plain(obj: ObjectSpec) -> ObjectSpec:
    """The object at scale 1 and mass 1; what varies is fitted later."""
    # off centre on every axis, so that MuJoCo takes no short cut that a later mass centre would not allow
    return replace(obj, mass=1.0, com=(1e-3, 2e-3, 3e-3), scale=1.0)


def _fit(model: Any, obj: ObjectSpec) -> None:
    body = int(model.body(OBJECT).id)
    for geom in np.flatnonzero(model.geom_bodyid == body).tolist():
        if obj.parts:
            for table in (model.geom_pos, model.geom_size, model.geom_aabb, model.geom_rbound):
                table[geom] *= obj.scale
            mesh = int(model.geom_dataid[geom])
            if mesh >= 0:
                first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
                model.mesh_vert[first:first + count] *= obj.scale
        else:
            half = np.array(obj.extent) / 2
            size = half.copy()
            if PRIMITIVES[obj.shape] < 3:                   # radius and half length between the cap centres
                size = np.array([obj.size[0], *[v / 2 for v in obj.size[1:]]])
            model.geom_size[geom, :size.size] = size
            model.geom_aabb[geom, 3:] = half
            model.geom_rbound[geom] = _bound(obj.shape, half)
        model.geom_rgba[geom] = obj.rgba
    model.geom_friction[:, 0] = obj.friction
    model.body_mass[body], model.body_ipos[body] = obj.mass, obj.com
    if not obj.parts:
        model.body_inertia[body] = obj.inertia
    else:
        model.body_inertia[body] *= obj.mass * obj.scale**2
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _bound(shape: str, half: Any) -> float:
    """Radius of the ball around a primitive, m."""
    if shape == 'box':
        return float(np.linalg.norm(half))
    if shape == 'cylinder':
        return math.hypot(half[0], half[2])
    return float(half.max())
