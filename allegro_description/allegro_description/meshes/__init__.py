"""Visual meshes of every hand, made from its description: joints, tips and primitive shapes; no file from a vendor.

::

    mesh        vertices, triangles, and the laws they obey
    outlines    closed outlines in a plane
    solids      lathes, lofts, plates, rounded primitives
    materials   what a hand is made of
    anatomy     where a link's bone runs and where it bends
    fittings    barrels, lugs, caps, screws, collars, fingertips
    phalanx     links that move
    palm        the palm
    hand        a whole hand: pieces per link and material
    files       STL and OBJ files, and their use in a URDF

Everything here is pure numpy and deterministic: the same description gives the same bytes.
"""
