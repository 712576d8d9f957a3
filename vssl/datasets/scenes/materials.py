"""Colours and patterns of surfaces.

A pattern maps texture coordinates (metres) to linear RGB. Patterns fade to their mean colour where one pixel covers
more than about half a period, which keeps far floors free of moiré without supersampling.
"""

from collections.abc import Callable
from colorsys import hsv_to_rgb
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32

Array = np.ndarray
Colour = tuple[float, float, float]

# One table of random numbers for all scenes; a material reads it from its own offset.
_TABLE_SIZE = 64
_TABLE = np.random.default_rng(20240607).random((_TABLE_SIZE, _TABLE_SIZE), dtype=np.float32)


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        pattern: function of (u, v, footprint, material) → (N, 3) linear RGB; footprint is a pixel's width in metres.
        colours: linear RGB in [0, 1]; the first is the ground, patterns use as many as they need.
        period: size of the pattern in metres.
        angle: of the pattern, radians.
        offset: moves the pattern, metres; also chooses the noise.
        half: half width and half height in metres of a picture or window.
        gloss: strength of the highlight, 0..1.
        glow: share of the colour that the surface emits by itself, 0..1.
        skirting: (height in metres, colour) of a band along the foot of a wall, or None.
    """

    pattern: Callable[[Array, Array, Array, "Material"], Array]
    colours: tuple[Colour, ...]
    period: float = 0.3
    angle: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    half: tuple[float, float] = (1.0, 1.0)
    gloss: float = 0.0
    glow: float = 0.0
    skirting: tuple[float, Colour] | None = field(default=None)

    def colour(self, u: Array, v: Array, footprint: Array) -> Float32[Array, "points 3"]:
        """Linear RGB at texture coordinates (points,), footprint (points,) in metres."""
        rgb = self.pattern(u, v, footprint, self)
        if self.skirting is not None:
            rgb = np.where((v < self.skirting[0])[:, None], np.float32(self.skirting[1]), rgb)
        return rgb


def _mix(material: Material, weight: Array, footprint: Array, mean: float = 0.5) -> Array:
    """First colour where weight is 0, second where it is 1; faded to `mean` where the pattern cannot be resolved."""
    sharpness = np.clip(2 - 3 * footprint / material.period, 0, 1)
    weight = (mean + (weight - mean) * sharpness)[:, None]
    first, second = np.float32(material.colours[0]), np.float32(material.colours[1])
    return first + (second - first) * weight


def _turned(u: Array, v: Array, material: Material) -> tuple[Array, Array]:
    """Coordinates in periods, turned and moved."""
    cos, sin = float(np.cos(material.angle)) / material.period, float(np.sin(material.angle)) / material.period
    u, v = u + material.offset[0], v + material.offset[1]
    return cos * u + sin * v, cos * v - sin * u


def _noise(u: Array, v: Array) -> Array:
    """Smooth random field of period-1 cells, values in [0, 1)."""
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    i, j = iu.astype(np.int32) % _TABLE_SIZE, iv.astype(np.int32) % _TABLE_SIZE
    i1, j1 = (i + 1) % _TABLE_SIZE, (j + 1) % _TABLE_SIZE
    low = _TABLE[i, j] * (1 - fu) + _TABLE[i1, j] * fu
    high = _TABLE[i, j1] * (1 - fu) + _TABLE[i1, j1] * fu
    return low * (1 - fv) + high * fv


def _cell(i: Array, j: Array) -> Array:
    """One random number in [0, 1) for each integer cell."""
    return _TABLE[(i.astype(np.int32) * 7 + 3) % _TABLE_SIZE, (j.astype(np.int32) * 13 + 5) % _TABLE_SIZE]


def plain(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """The first colour everywhere."""
    return np.broadcast_to(np.float32(material.colours[0]), (*u.shape, 3))


def checker(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Squares of two colours."""
    u, v = _turned(u, v, material)
    return _mix(material, ((np.floor(u) + np.floor(v)) % 2).astype(np.float32), footprint)


def stripes(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Parallel bands of two colours."""
    u, _ = _turned(u, v, material)
    return _mix(material, (u % 1 > 0.5).astype(np.float32), footprint)


def dots(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Round dots of the second colour on the first."""
    u, v = _turned(u, v, material)
    u, v = u % 1 - 0.5, v % 1 - 0.5
    return _mix(material, (u * u + v * v < 0.09).astype(np.float32), footprint, mean=0.28)


def tiles(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Square tiles with joints of the second colour."""
    u, v = _turned(u, v, material)
    joint = (u % 1 < 0.07) | (v % 1 < 0.07)
    return _mix(material, joint.astype(np.float32), footprint, mean=0.14)


def bricks(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Bricks in running bond, each a little different, joints of the second colour."""
    u, v = (u + material.offset[0]) / material.period, (v + material.offset[1]) / material.period * 2.5
    row = np.floor(v)
    u = u + 0.5 * (row % 2)
    joint = (u % 1 < 0.06) | (v % 1 < 0.14)
    shade = 0.75 + 0.5 * _cell(np.floor(u), row)
    return _mix(material, joint.astype(np.float32), footprint, mean=0.19) * shade[:, None]


def planks(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Wooden boards with grain along them."""
    u, v = _turned(u, v, material)
    board = np.floor(u)
    grain = _noise(u * 9, v * 0.8 + board * 11)
    weight = 0.55 * _cell(board, board) + 0.45 * grain
    edge = np.where(u % 1 < 0.06, np.float32(0.6), np.float32(1))
    return _mix(material, weight, footprint) * edge[:, None]


def grain(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Wood grain: warped rings."""
    u, v = _turned(u, v, material)
    wave = np.sin(6.2832 * (u + 1.5 * _noise(u * 0.7, v * 0.25)))
    return _mix(material, 0.5 + 0.5 * wave, footprint)


def mottled(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Two octaves of smooth noise: plaster, carpet, stone, foliage."""
    u, v = _turned(u, v, material)
    return _mix(material, 0.65 * _noise(u, v) + 0.35 * _noise(2.7 * u + 9, 2.7 * v), footprint)


def books(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """Upright bands, each of one of the material's colours."""
    column = np.floor((u + material.offset[0]) / material.period)
    choice = _cell(column, column + int(material.offset[1] * 97))
    palette = np.float32(material.colours)
    return palette[(choice * len(palette)).astype(np.int32)]


def picture(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """A framed picture: colours are frame, paper and two inks; `period` < 1 chooses one of four motifs."""
    x, y = u / material.half[0], v / material.half[1]
    frame, paper, ink, other = (np.float32(c) for c in material.colours)
    cx, cy = material.offset[0] % 1 - 0.5, material.offset[1] % 1 - 0.5
    motif = int(material.period * 4) % 4
    if motif == 0:  # horizon and sun
        first, second = y < 0.6 * cx, (x - cx) ** 2 + (y - 0.3 - cy / 2) ** 2 < 0.12
    elif motif == 1:  # blocks
        cell = _cell(np.floor(x * 2 + 9 + cx), np.floor(y * 2.5 + 31 * cy))
        first, second = cell < 0.4, cell > 0.7
    elif motif == 2:  # bands and a disc
        band = float(np.cos(material.angle)) * x + float(np.sin(material.angle)) * y
        first, second = (band * 3 + cy) % 1 < 0.5, x * x + y * y < 0.25
    else:  # blots
        blot = _noise(x * 2 + 7 * cx + 20, y * 2 + 7 * cy + 20)
        first, second = blot < 0.4, blot > 0.6
    rgb = np.where(first[:, None], ink, paper)
    rgb = np.where(second[:, None], other, rgb)
    return np.where((np.maximum(np.abs(x), np.abs(y)) > 0.88)[:, None], frame, rgb)


def panes(u: Array, v: Array, footprint: Array, material: Material) -> Array:
    """A window: colours are frame, sky and horizon; `period` is the number of panes across (2 or 3)."""
    x, y = u / material.half[0], v / material.half[1]
    frame, sky, land = (np.float32(c) for c in material.colours)
    hills = -0.4 + 0.4 * _noise(x * 2 + 20 + material.offset[0], np.zeros_like(x))
    height = np.clip(0.5 + y / 2, 0, 1)[:, None]
    rgb = np.where((y < hills)[:, None], land, 0.85 + (sky - 0.85) * height)
    bar = np.abs((x + 1) / 2 * material.period % 1 - 0.5) > 0.5 - 0.05 * material.period
    bar |= (np.abs(y) < 0.05) | (np.abs(y) > 0.9) | (np.abs(x) > 0.92)
    return np.where(bar[:, None], frame, rgb)


def random_colour(rng: np.random.Generator, saturation=(0.05, 0.85), value=(0.2, 0.95)) -> Colour:
    """A linear RGB colour of any hue, with saturation and value drawn from the given ranges."""
    hue, s, v = rng.random(3).tolist()
    return _from_hsv(hue, saturation[0] + s * (saturation[1] - saturation[0]), value[0] + v * (value[1] - value[0]))


def wood_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two shades of one wood."""
    hue, s, v = rng.uniform(0.03, 0.12), rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.9)
    return _from_hsv(hue, s, v), _from_hsv(hue + 0.01, s, v * rng.uniform(0.6, 0.85))


def _from_hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = hsv_to_rgb(hue, saturation, value)
    return red * red, green * green, blue * blue  # a gamma of 2, undone when the image is written


# Every furniture surface draws from the same patterns: texture says little about class.
_FURNITURE = (plain,) * 4 + (mottled,) * 3 + (grain,) * 3 + (checker, stripes, dots)


def random_material(rng: np.random.Generator, choice: tuple = _FURNITURE, period=(0.08, 0.35)) -> Material:
    """A material with any of the given patterns, in any colours."""
    pattern = choice[rng.integers(len(choice))]
    wooden = pattern in (grain, planks) and rng.random() < 0.7
    colours = wood_colours(rng) if wooden else (random_colour(rng), random_colour(rng))
    if not wooden and rng.random() < 0.6:  # two shades of one colour
        first, darker = colours[0], rng.uniform(0.4, 0.9)
        colours = (first, (first[0] * darker, first[1] * darker, first[2] * darker))
    angle = rng.integers(2) * np.pi / 2 + (rng.random() < 0.2) * rng.uniform(0, np.pi)
    return Material(
        pattern,
        colours,
        period=rng.uniform(*period),
        angle=float(angle),
        offset=(rng.uniform(0, 40), rng.uniform(0, 40)),
        gloss=rng.uniform(0.1, 0.6) if rng.random() < 0.3 else 0.0,
    )


def recoloured(material: Material, factor: float) -> Material:
    """The same material, lighter or darker."""
    colours = tuple(tuple(min(1.0, c * factor) for c in colour) for colour in material.colours)
    return replace(material, colours=colours)
