"""What a designer wants to know of a link: where its bone runs, where it bends, what is hard and what is soft.

Everything is read off the :class:`~allegro_description.model.HandModel`: joints, tips and the primitive shapes, so a
new hand gets its meshes from its YAML alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allegro_description.kinematics import Kinematics, homogeneous, rotation
from allegro_description.meshes.solids import shape_pose
from allegro_description.model import HandModel, Joint, Link, Shape
from allegro_description.state import Array

#: A pivot nearer than this to the link's origin does not tell where the bone runs, m.
_NEAR = 0.004
#: Cosine between bone and axis above which a joint rolls the link instead of bending it.
_ROLL = 0.9


@dataclass(frozen=True, eq=False)
class Pivot:
    """A joint as one of its two links sees it: place (3,) and unit axis (3,) in the frame of the bone."""

    joint: Joint
    at: Array
    axis: Array

    @property
    def rolls(self) -> bool:
        """Whether the joint turns about the bone."""
        return bool(abs(self.axis[2]) > _ROLL)


@dataclass(frozen=True, eq=False)
class Bone:
    """A link in the frame of its bone: z along the bone, y along the hinges, x to the side that grasps.

    Attributes:
        frame: that frame in the link's frame, (4, 4); its origin is the link's.
        low, high: corners of the box around the hard shapes, m.
        inner: the joint at the link's origin; None for the palm.
        outer: joints that move the next links.
        dome: the soft fingertip, if the link ends in one; its z runs along the bone.
        boxes: (low, high) of each hard shape, m.
        round: whether the hard shapes are capsules or cylinders.
    """

    link: Link
    frame: Array
    low: Array
    high: Array
    inner: Pivot | None
    outer: tuple[Pivot, ...]
    dome: Shape | None
    boxes: tuple[tuple[Array, Array], ...]
    round: bool


def extent(shapes: tuple[Shape, ...], pose: Array) -> tuple[Array, Array]:
    """Corners of the box around shapes, in the frame that ``pose`` (4, 4) is given in, m."""
    lows, highs = [], []
    for shape in shapes:
        placed = pose @ shape_pose(shape)
        if shape.kind == 'box':
            half = np.abs(placed[:3, :3]) @ (np.array(shape.size) / 2)
        else:
            length = shape.size[1] / 2 if len(shape.size) > 1 else 0.0
            axis = np.abs(placed[:3, 2])
            rim = np.sqrt(np.maximum(1 - axis**2, 0)) if shape.kind == 'cylinder' else np.ones(3)
            half = axis * length + rim * shape.size[0]
        lows.append(placed[:3, 3] - half)
        highs.append(placed[:3, 3] + half)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def tip_shape(model: HandModel, link: Link) -> Shape | None:
    """The shape that forms the fingertip of a distal link: the one whose centre is nearest to the tip frame."""
    tips = {f.tip for f in model.fingers}
    tip = next((f for f in model.frames if f.name in tips and f.parent == link.name), None)
    if tip is None or len(link.shapes) < 2:
        return None
    return min(link.shapes, key=lambda s: float(np.linalg.norm(np.subtract(s.xyz, tip.xyz))))


def bones(model: HandModel) -> dict[str, Bone]:
    """The anatomy of every link with a shape, by name."""
    closing = _closing(model)
    return {link.name: _bone(model, link, closing) for link in model.links if link.shapes}


def _closing(model: HandModel) -> dict[str, float]:
    """Sign of the angles that close each joint: that of its finger's bending joints, summed over the named poses."""
    signs: dict[str, float] = {}
    for finger in model.fingers:
        bending = [model.joint_index(n) for n in finger.joints if model.joints[model.joint_index(n)].flexion]
        total = sum(float(pose[bending].sum()) for pose in model.poses.values())
        signs |= dict.fromkeys(finger.joints, -1.0 if total < 0 else 1.0)
    return signs


def _bone(model: HandModel, link: Link, closing: dict[str, float]) -> Bone:
    dome = tip_shape(model, link)
    hard = tuple(s for s in link.shapes if s is not dome)
    inner = next((j for j in model.joints if j.child == link.name), None)
    outer = [j for j in model.joints if j.parent == link.name]
    if link.name == model.palm:
        frame = np.eye(4)
    else:
        frame = homogeneous((0.0, 0.0, 0.0), _axes(model, link, hard, dome, inner, outer, closing))
    turn = frame[:3, :3].T
    low, high = extent(hard, frame.T)
    pivots = tuple(Pivot(j, turn @ np.array(j.xyz), turn @ rotation(j.rpy) @ np.array(j.axis)) for j in outer)
    first = None if inner is None else Pivot(inner, np.zeros(3), turn @ np.array(inner.axis))
    if dome is not None:
        centre = turn @ np.array(dome.xyz)
        dome = Shape(dome.kind, dome.size, (float(centre[0]), float(centre[1]), float(centre[2])))
    boxes = tuple(extent((s,), frame.T) for s in hard)
    return Bone(link, frame, low, high, first, pivots, dome, boxes, all(s.kind != 'box' for s in hard))


def _axes(model: HandModel, link: Link, hard: tuple[Shape, ...], dome: Shape | None, inner: Joint | None,
          outer: list[Joint], closing: dict[str, float]) -> Array:
    """Axes of the bone's frame as columns, (3, 3), snapped to those of the largest shape."""
    main = rotation(max(hard, key=lambda s: float(np.prod(_edges(s)))).rpy)
    far = max((np.array(j.xyz) for j in outer), key=lambda p: float(np.linalg.norm(p)), default=np.zeros(3))
    if np.linalg.norm(far) < _NEAR:
        low, high = extent(hard, np.eye(4))
        far = np.array(dome.xyz) if dome is not None else (low + high) / 2
    z = _snapped(far, main)
    candidates = [(rotation(j.rpy) @ np.array(j.axis), j) for j in outer]
    candidates += [(np.array(j.axis), j) for j in (inner,) if j is not None]
    hinges = [(a, j) for a, j in candidates if abs(a @ z) < _ROLL]
    if hinges:
        axis, joint = next(((a, j) for a, j in hinges if j.flexion), hinges[0])
        y = _snapped(axis - (axis @ z) * z, main) * closing[joint.name]
    else:
        y = _snapped(np.cross(z, [1.0, 0.1, 0.01]), main)
    x = np.cross(y, z)
    return np.stack([x, y, z], axis=1)


def _edges(shape: Shape) -> tuple[float, ...]:
    if shape.kind == 'box':
        return shape.size
    radius = shape.size[0]
    return (2 * radius, 2 * radius, 2 * radius + sum(shape.size[1:]))


def _snapped(direction: Array, axes: Array) -> Array:
    """The unit axis (columns of ``axes``, either way) nearest to a direction."""
    along = axes.T @ direction
    k = int(np.argmax(np.abs(along)))
    return np.asarray(axes[:, k] * np.sign(along[k]))


def sweep(model: HandModel, joint: Joint, steps: int = 9) -> tuple[Array, Array]:
    """Corners, in the frame of the joint's parent, of the box that the child's shapes sweep over its range, m."""
    link = next(li for li in model.links if li.name == joint.child)
    index = model.joint_index(joint.name)
    kinematics, lows, highs = Kinematics(model), [], []
    for angle in np.linspace(joint.lower, joint.upper, steps):
        position = np.zeros(len(model.joints))
        position[index] = angle
        poses = kinematics.link_poses(position)
        low, high = extent(link.shapes, np.linalg.inv(poses[joint.parent]) @ poses[joint.child])
        lows.append(low)
        highs.append(high)
    return np.min(lows, axis=0), np.max(highs, axis=0)
