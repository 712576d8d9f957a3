"""Families of scenes: what tells a class, and what varies without meaning. Each has a known best augmentation.

| family | class decides | varies without meaning | so augmentation should |
|---|---|---|---|
| `rooms` | shape | colour of every surface | change colours |
| `colours` | shape and hue | saturation, pattern | leave hue and saturation alone |
| `mixed` | shape and hue | exposure over almost three octaves, pattern | change brightness, leave hue and saturation |

In all of them things have metric sizes, so that crops, which hide how large a thing appears, cost depth. In `mixed`
the air is hazy: what is far away is pale, and changes of saturation cost depth too.
"""

from colorsys import hsv_to_rgb, rgb_to_hsv
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from vssl.datasets.scenes.furniture import CLASSES, UNLABELED, SolidPart, label_of
from vssl.datasets.scenes.layout import Scene
from vssl.datasets.scenes.materials import Colour, Material

_HAZE = 0.5  # linear intensity of the air


@dataclass(frozen=True)
class Family:
    """What the scenes of a family have in common.

    Attributes:
        hue_spread: half width, in turns, of the hues that a class may have around its own; None: colours are drawn
            alike for all classes.
        haze: distance in metres at which 63 % of a surface's light is replaced by gray; None for clear air.
        exposure: range of the camera's exposure; drawn uniformly in its logarithm, or in itself for `rooms`.
    """

    hue_spread: float | None = None
    haze: float | None = None
    exposure: tuple[float, float] = (0.8, 1.3)

    def dressed(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The scene with its surfaces in the colours of their classes."""
        if self.hue_spread is None:
            return scene
        walls, floor, ceiling = (
            self._in_hue_of(label_of(name), material, rng)
            for name, material in (("wall", scene.walls), ("floor", scene.floor), ("ceiling", scene.ceiling))
        )
        things = []
        for thing in scene.things:
            hues = {label: self._hue(label, rng) for label in {part.label for part in thing.parts} - {UNLABELED}}
            parts = tuple(_part_in_hue(part, hues) for part in thing.parts)
            things.append(replace(thing, parts=parts))
        return replace(scene, walls=walls, floor=floor, ceiling=ceiling, things=tuple(things))

    def through_air(
        self, linear: Float32[np.ndarray, "pixels 3"], depth: Float32[np.ndarray, " pixels"]
    ) -> Float32[np.ndarray, "pixels 3"]:
        """Linear RGB of surfaces at z-depths in metres, as it arrives at the camera."""
        if self.haze is None:
            return linear
        share = np.exp(-depth / self.haze)[:, None]
        return linear * share + np.float32(_HAZE) * (1 - share)

    def draw_exposure(self, rng: np.random.Generator) -> float:
        low, high = self.exposure
        if self.hue_spread is None:
            return rng.uniform(low, high)
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def _hue(self, label: int, rng: np.random.Generator) -> float:
        # Classes that stand next to each other in CLASSES, such as sofa and bed, are neighbours in hue too.
        return (label - 1) / len(CLASSES) + rng.uniform(-self.hue_spread, self.hue_spread)

    def _in_hue_of(self, label: int, material: Material, rng: np.random.Generator) -> Material:
        return in_hue(material, self._hue(label, rng))


FAMILIES = {
    "rooms": Family(),
    "colours": Family(hue_spread=0.015),
    "mixed": Family(hue_spread=0.02, haze=4.0, exposure=(0.2, 1.3)),
}
DEFAULT_FAMILY = "mixed"


def family_named(name: str) -> Family:
    """Raises ValueError with the names that exist."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}: expected {', '.join(FAMILIES)}")
    return FAMILIES[name]


def in_hue(material: Material, hue: float, saturation: tuple[float, float] = (0.45, 0.95)) -> Material:
    """The same material with all its colours in one hue (turns); saturations are moved into the given range."""
    skirting = material.skirting
    if skirting is not None:
        skirting = skirting[0], _coloured(skirting[1], hue, saturation)
    return replace(material, colours=tuple(_coloured(c, hue, saturation) for c in material.colours), skirting=skirting)


def _part_in_hue(part: SolidPart, hues: dict[int, float]) -> SolidPart:
    return part if part.label == UNLABELED else replace(part, material=in_hue(part.material, hues[part.label]))


def _coloured(colour: Colour, hue: float, saturation: tuple[float, float]) -> Colour:
    _, s, value = rgb_to_hsv(*(c**0.5 for c in colour))
    low, high = saturation
    red, green, blue = hsv_to_rgb(hue % 1, low + s * (high - low), value)
    return red * red, green * green, blue * blue
