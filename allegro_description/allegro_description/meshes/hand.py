"""The visual meshes of a whole hand, one piece per link and material, made from its description alone."""

from __future__ import annotations

from allegro_description.meshes import palm, phalanx
from allegro_description.meshes.anatomy import bones
from allegro_description.meshes.fittings import Piece
from allegro_description.meshes.materials import MATERIALS
from allegro_description.meshes.mesh import merged
from allegro_description.model import HandModel


def hand_pieces(model: HandModel) -> dict[str, tuple[Piece, ...]]:
    """Pieces of every link that has a shape, in the link's frame: name -> one piece per material in use."""
    anatomy = bones(model)
    seats = {}
    for bone in anatomy.values():
        for pivot in bone.outer:
            child = anatomy.get(pivot.joint.child)
            if child is not None:
                seats[pivot.joint.name] = phalanx.seat(child, bone, pivot)
    result = {}
    for name, bone in anatomy.items():
        is_palm = name == model.palm
        parts = list(palm.pieces(model, bone, anatomy, seats) if is_palm else phalanx.pieces(bone, seats))
        result[name] = tuple(
            Piece(material, merged(p.mesh for p in parts if p.material == material).moved(bone.frame))
            for material in MATERIALS if any(p.material == material for p in parts))
    return result
