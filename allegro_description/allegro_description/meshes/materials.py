"""What a hand is made of, and how it takes light. The URDF, the browser and the pictures use the same table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Colour = tuple[int, int, int]

SHELL, PLATE, METAL, GRIP, SOFT = 'shell', 'plate', 'metal', 'grip', 'soft'


@dataclass(frozen=True, slots=True)
class Material:
    """A finish: colour (8-bit sRGB), roughness 0 (mirror) … 1 (chalk), and whether it is bare metal."""

    colour: Colour
    roughness: float
    metal: bool = False

    @property
    def rgba(self) -> tuple[float, float, float, float]:
        """Colour as URDF and MuJoCo want it, 0 … 1."""
        r, g, b = (round(v / 255, 3) for v in self.colour)
        return (r, g, b, 1.0)


#: Anodised shells, cover plates, metal hubs and screws, rubber pads, soft fingertips.
MATERIALS: Mapping[str, Material] = {
    SHELL: Material((62, 66, 73), 0.45),
    PLATE: Material((112, 118, 127), 0.40),
    METAL: Material((196, 200, 206), 0.30, metal=True),
    GRIP: Material((40, 42, 46), 0.75),
    SOFT: Material((204, 197, 185), 0.60),
}
