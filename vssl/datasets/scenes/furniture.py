"""The things that stand in a room, each built from convex solids.

A builder draws one piece of furniture of random size, proportions and materials. Its frame: origin on the floor under
the middle, y up, the front towards −z. What makes a class is its shape; colours and patterns are drawn alike for all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vssl.datasets.scenes.materials import (
    Colour,
    Material,
    books,
    dots,
    grain,
    mottled,
    panes,
    picture,
    plain,
    random_colour,
    random_material,
    recoloured,
    stripes,
    wood_colours,
)
from vssl.datasets.scenes.solids import Box, Ellipsoid, Frustum, Point, Solid

Generator = np.random.Generator

# Annotation values are 1 + the position here; 0 is unlabeled.
CLASSES = (
    "wall", "floor", "ceiling", "window", "poster",
    "table", "sofa", "bed", "cabinet", "shelf", "lamp", "plant", "ball", "barrel",
)  # fmt: skip
UNLABELED = 0


@dataclass(frozen=True)
class SolidPart:
    """One solid of a thing: its shape, look, and annotation value (0..len(CLASSES))."""

    solid: Solid
    material: Material
    label: int


@dataclass(frozen=True)
class Thing:
    """Parts that move together: turned by `yaw` radians about the vertical, then moved to `position` (metres)."""

    parts: tuple[SolidPart, ...]
    position: Point = (0.0, 0.0, 0.0)
    yaw: float = 0.0

    def placed(self, position: Point, yaw: float) -> "Thing":
        """The same thing somewhere else."""
        return replace(self, position=tuple(map(float, position)), yaw=float(yaw))

    @cached_property
    def low(self) -> Point:
        """Lowest corner of the box around all parts, in the thing's frame."""
        x, y, z = (min(p.solid.low[k] for p in self.parts) for k in range(3))
        return x, y, z

    @cached_property
    def high(self) -> Point:
        """Highest corner of the box around all parts, in the thing's frame."""
        x, y, z = (max(p.solid.high[k] for p in self.parts) for k in range(3))
        return x, y, z

    @cached_property
    def radius(self) -> float:
        """Of the circle on the floor, around the origin, that holds the thing."""
        return float(np.hypot(max(-self.low[0], self.high[0]), max(-self.low[2], self.high[2])))


def label_of(name: str) -> int:
    """Annotation value of a class."""
    return CLASSES.index(name) + 1


def _box(x0: float, x1: float, y0: float, y1: float, z0: float, z1: float) -> Box:
    return Box((float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1)))


def _thing(name: str, solids: list[tuple[Solid, Material]]) -> Thing:
    return Thing(tuple(SolidPart(solid, material, label_of(name)) for solid, material in solids))


def _legs(w: float, d: float, height: float, thick: float, material: Material) -> list[tuple[Solid, Material]]:
    """Four legs under the corners of a w × d plate."""
    return [
        (_box(x, x + thick, 0, height, z, z + thick), material)
        for x in (-w / 2, w / 2 - thick)
        for z in (-d / 2, d / 2 - thick)
    ]


def table(rng: Generator) -> Thing:
    """A table: rectangular on four legs, or round on one."""
    w, d, height, plate = rng.uniform(1.0, 1.8), rng.uniform(0.7, 1.0), rng.uniform(0.6, 0.8), rng.uniform(0.04, 0.1)
    top, leg = random_material(rng), random_material(rng)
    if rng.random() < 0.3:
        r = rng.uniform(0.5, 0.8)
        solids: list[tuple[Solid, Material]] = [
            (Frustum(0.0, 0.0, height - plate, height, r, r), top),
            (Frustum(0.0, 0.0, 0.04, height - plate, 0.09, 0.09), leg),
            (Frustum(0.0, 0.0, 0.0, 0.04, 0.55 * r, 0.5 * r), leg),
        ]
    else:
        solids = [(_box(-w / 2, w / 2, height - plate, height, -d / 2, d / 2), top)]
        solids += _legs(w - 0.06, d - 0.06, height - plate, rng.uniform(0.06, 0.13), leg)
    thing = _thing("table", solids)
    return replace(thing, parts=thing.parts + _clutter(rng, height, 0.3)) if rng.random() < 0.5 else thing


def _clutter(rng: Generator, height: float, reach: float) -> tuple[SolidPart, ...]:
    """One or two small things on a plate, of no class: annotated 0, as rare things in ADE20K are."""
    parts = []
    for x in (-reach, reach)[: rng.integers(1, 3)]:
        x, z, size = x + rng.uniform(-0.1, 0.1), rng.uniform(-0.15, 0.15), rng.uniform(0.06, 0.12)
        if rng.random() < 0.5:
            solid: Solid = Frustum(x, z, height, height + 2.5 * size, size, 0.7 * size)
        else:
            solid = _box(x - size, x + size, height, height + 0.9 * size, z - size, z + size)
        parts.append(SolidPart(solid, random_material(rng, (plain, stripes, dots), (0.03, 0.1)), UNLABELED))
    return tuple(parts)


def sofa(rng: Generator) -> Thing:
    """A sofa or armchair: base, back, two arms and seat cushions."""
    w, d = rng.uniform(0.95, 2.1), rng.uniform(0.8, 0.95)
    seat, back, arm = rng.uniform(0.36, 0.46), rng.uniform(0.75, 1.0), rng.uniform(0.13, 0.24)
    cloth = random_material(rng)
    cushion = random_material(rng) if rng.random() < 0.4 else recoloured(cloth, rng.uniform(0.75, 1.25))
    arm_height = seat + rng.uniform(0.12, 0.25)
    solids = [
        (_box(-w / 2, w / 2, 0.06, seat - 0.12, -d / 2, d / 2), cloth),
        (_box(-w / 2, w / 2, 0.06, back, d / 2 - 0.22, d / 2), cloth),
        (_box(-w / 2, -w / 2 + arm, 0.06, arm_height, -d / 2, d / 2 - 0.1), cloth),
        (_box(w / 2 - arm, w / 2, 0.06, arm_height, -d / 2, d / 2 - 0.1), cloth),
    ]
    count = 1 if w < 1.2 else 2 if w < 1.7 else 3
    width = (w - 2 * arm) / count
    for k in range(count):
        x = -w / 2 + arm + k * width
        solids.append((_box(x + 0.01, x + width - 0.01, seat - 0.12, seat, -d / 2 - 0.02, d / 2 - 0.22), cushion))
    if rng.random() < 0.5:
        x = rng.uniform(-0.3, 0.3) * (w - 2 * arm)
        solids.append((Ellipsoid((x, seat + 0.19, d / 2 - 0.3), (0.22, 0.2, 0.11)), random_material(rng)))
    return _thing("sofa", solids)


def bed(rng: Generator) -> Thing:
    """A bed: frame, mattress, headboard at the back, pillows, and usually a blanket."""
    w, length, frame, top = rng.uniform(1.0, 1.7), rng.uniform(1.8, 2.1), rng.uniform(0.2, 0.32), rng.uniform(0.42, 0.6)
    wood, sheet = random_material(rng), random_material(rng, (plain, mottled, stripes))
    z = -length / 2
    solids = [
        (_box(-w / 2, w / 2, 0.04, frame, z, -z), wood),
        (_box(-w / 2 + 0.03, w / 2 - 0.03, frame, top, z + 0.03, -z), sheet),
        (_box(-w / 2 - 0.03, w / 2 + 0.03, 0.0, top + rng.uniform(0.3, 0.7), -z, -z + 0.08), wood),
    ]
    pillow = random_material(rng)
    for x in (0.0,) if w < 1.3 else (-w / 4, w / 4):
        solids.append((Ellipsoid((x, top + 0.06, -z - 0.3), (0.3, 0.11, 0.2)), pillow))
    if rng.random() < 0.8:
        end = z + length * rng.uniform(0.4, 0.7)
        side, drop = w / 2 + 0.015, rng.uniform(0.1, frame)
        solids.append((_box(-side, side, drop, top + 0.04, z - 0.015, end), random_material(rng)))
    return _thing("bed", solids)


def cabinet(rng: Generator) -> Thing:
    """A closed cabinet: body, a grid of doors or drawers with gaps, knobs."""
    w, h, d = rng.uniform(0.8, 1.5), rng.uniform(0.8, 1.9), rng.uniform(0.4, 0.6)
    body = random_material(rng)
    door = random_material(rng) if rng.random() < 0.5 else recoloured(body, rng.uniform(0.7, 1.3))
    knob = Material(plain, (random_colour(rng),), gloss=0.5)
    columns, rows = (1, int(rng.integers(3, 6))) if rng.random() < 0.4 else (2 if w < 1.2 else 3, rng.integers(1, 3))
    solids = [(_box(-w / 2, w / 2, 0, h, -d / 2, d / 2), body)]
    cell_w, cell_h, gap = (w - 0.06) / columns, (h - 0.14) / rows, 0.02
    for i in range(columns):
        for j in range(int(rows)):
            x, y = -w / 2 + 0.03 + i * cell_w, 0.1 + j * cell_h
            front = _box(x + gap, x + cell_w - gap, y + gap, y + cell_h - gap, -d / 2 - 0.03, -d / 2)
            solids.append((front, door))
            kx = x + cell_w / 2 if columns == 1 else x + cell_w * (0.85 if i % 2 == 0 else 0.15)
            ky = y + cell_h / 2
            solids.append((_box(kx - 0.035, kx + 0.035, ky - 0.035, ky + 0.035, -d / 2 - 0.08, -d / 2 - 0.03), knob))
    return _thing("cabinet", solids)


def shelf(rng: Generator) -> Thing:
    """An open bookcase: two sides, a back, boards, and rows of books."""
    w, h, d, board = rng.uniform(0.8, 1.4), rng.uniform(1.1, 2.0), rng.uniform(0.28, 0.36), 0.045
    wood = random_material(rng)
    solids = [
        (_box(-w / 2, -w / 2 + board, 0, h, -d / 2, d / 2), wood),
        (_box(w / 2 - board, w / 2, 0, h, -d / 2, d / 2), wood),
        (_box(-w / 2, w / 2, 0, h, d / 2 - 0.02, d / 2), recoloured(wood, 0.7)),
    ]
    palette = tuple(random_colour(rng) for _ in range(7))
    levels = int(rng.integers(3, 6))
    pitch = (h - board) / levels
    inner = w - 2 * board
    for level in range(levels + 1):
        y = level * pitch
        solids.append((_box(-inner / 2, inner / 2, y, y + board, -d / 2, d / 2), wood))
        if level < levels and rng.random() < 0.85:
            offset = (rng.uniform(0, 40), rng.uniform(0, 1))
            rows = Material(books, palette, period=rng.uniform(0.04, 0.08), offset=offset)
            start = -inner / 2 + rng.uniform(0, 0.3) * inner
            end = start + rng.uniform(0.5, 1.0) * (inner / 2 - start)
            top = y + board + rng.uniform(0.6, 0.9) * (pitch - board)
            solids.append((_box(start, end, y + board, top, -d / 2 + 0.05, d / 2 - 0.03), rows))
    return _thing("shelf", solids)


def lamp(rng: Generator) -> Thing:
    """A floor lamp: foot, pole and a wide shade that glows."""
    h, shade_h, r = rng.uniform(1.2, 1.7), rng.uniform(0.35, 0.6), rng.uniform(0.28, 0.45)
    metal = random_material(rng, (plain, plain, stripes), (0.1, 0.3))
    cloth = replace(random_material(rng), glow=rng.uniform(0.3, 0.8))
    solids = [
        (Frustum(0.0, 0.0, 0.0, 0.05, 0.8 * r, 0.75 * r), metal),
        (Frustum(0.0, 0.0, 0.05, h - shade_h, 0.04, 0.04), metal),
        (Frustum(0.0, 0.0, h - shade_h, h, r, r * rng.uniform(0.3, 0.75)), cloth),
    ]
    return _thing("lamp", solids)


def plant(rng: Generator) -> Thing:
    """A potted plant: stacked cones, or a bunch of leafy balls on a stem."""
    pot_h, r = rng.uniform(0.25, 0.45), rng.uniform(0.18, 0.3)
    leaf = random_colour(rng, (0.2, 0.9), (0.25, 0.8)) if rng.random() < 0.4 else _green(rng)
    foliage = Material(
        mottled, (leaf, tuple(c * 0.35 for c in leaf)), rng.uniform(0.05, 0.12), offset=(rng.uniform(0, 40), 0.0)
    )
    solids: list[tuple[Solid, Material]] = [(Frustum(0.0, 0.0, 0.0, pot_h, 0.75 * r, r), random_material(rng))]
    if rng.random() < 0.5:
        tiers, y, radius = int(rng.integers(2, 5)), pot_h + 0.05, rng.uniform(0.35, 0.55)
        for _ in range(tiers):
            tier = radius * rng.uniform(1.0, 1.4)
            solids.append((Frustum(0.0, 0.0, y, y + tier, radius, 0.0), foliage))
            y, radius = y + 0.5 * tier, 0.8 * radius
    else:
        stem = Material(grain, wood_colours(rng))
        middle = pot_h + rng.uniform(0.3, 0.6)
        solids.append((Frustum(0.0, 0.0, pot_h, middle, 0.03, 0.03), stem))
        for _ in range(int(rng.integers(4, 8))):
            size = rng.uniform(0.16, 0.3)
            x, y, z = rng.uniform(-0.25, 0.25), middle + rng.uniform(-0.05, 0.4), rng.uniform(-0.25, 0.25)
            solids.append((Ellipsoid((x, y, z), (size, 0.8 * size, size)), foliage))
    return _thing("plant", solids)


def _green(rng: Generator) -> Colour:
    value = rng.uniform(0.2, 0.7)
    return value * rng.uniform(0.15, 0.6), value, value * rng.uniform(0.1, 0.4)


def ball(rng: Generator) -> Thing:
    """A large ball on the floor."""
    r = rng.uniform(0.28, 0.5)
    return _thing("ball", [(Ellipsoid((0.0, r, 0.0), (r, r, r)), random_material(rng, period=(0.12, 0.5)))])


def barrel(rng: Generator) -> Thing:
    """A barrel or drum: two truncated cones (bulging) or one cylinder, with hoops."""
    h, r = rng.uniform(0.6, 1.1), rng.uniform(0.28, 0.42)
    end = r * (1.0 if rng.random() < 0.4 else rng.uniform(0.72, 0.92))
    side = random_material(rng)
    hoop = Material(plain, (random_colour(rng),), gloss=0.4)
    solids = [(Frustum(0.0, 0.0, 0.0, h / 2, end, r), side), (Frustum(0.0, 0.0, h / 2, h, r, end), side)]
    for y in (0.15 * h, 0.78 * h):
        radius = end + (r - end) * min(y + 0.04, h - y - 0.04) / (h / 2) + 0.015
        solids.append((Frustum(0.0, 0.0, y, y + 0.07, radius, radius), hoop))
    return _thing("barrel", solids)


def poster(rng: Generator) -> Thing:
    """A large framed picture; its back lies in the plane z = 0, its middle at the origin."""
    half = rng.uniform(0.35, 0.75), rng.uniform(0.35, 0.6)
    colours = tuple(random_colour(rng) for _ in range(4))
    look = Material(
        picture, colours, rng.uniform(0, 1), rng.uniform(0, np.pi), (rng.uniform(0, 40), rng.uniform(0, 40)), half
    )
    return _thing("poster", [(_box(-half[0], half[0], -half[1], half[1], -0.03, 0), look)])


def window(rng: Generator) -> Thing:
    """A bright window with a frame and panes; its back lies in the plane z = 0, its middle at the origin."""
    half = rng.uniform(0.45, 0.85), rng.uniform(0.45, 0.65)
    light = rng.uniform(0.35, 1.0)
    sky = tuple(light * c for c in (rng.uniform(0.3, 0.9), rng.uniform(0.5, 0.9), rng.uniform(0.7, 1.0)))
    land = random_colour(rng, (0.1, 0.6), (0.3, 0.8))
    frame = random_colour(rng, (0.0, 0.4), (0.2, 1.0))
    look = Material(
        panes, (frame, sky, land), float(rng.integers(2, 4)), offset=(rng.uniform(0, 40), 0.0), half=half, glow=0.9
    )
    return _thing("window", [(_box(-half[0], half[0], -half[1], half[1], -0.04, 0), look)])


def rug(rng: Generator) -> Thing:
    """A thin rug, round or rectangular; it counts as floor."""
    look = random_material(rng, period=(0.15, 0.5))
    if rng.random() < 0.4:
        r = rng.uniform(0.6, 1.2)
        return _thing("floor", [(Frustum(0.0, 0.0, 0.0, 0.012, r, r), look)])
    w, d = rng.uniform(0.6, 1.3), rng.uniform(0.5, 1.0)
    return _thing("floor", [(_box(-w, w, 0, 0.012, -d, d), look)])


# What a scene can be about. Against a wall: the back stands close to a wall, the front looks into the room.
BUILDERS: dict[str, Callable[[Generator], Thing]] = {
    builder.__name__: builder for builder in (table, sofa, bed, cabinet, shelf, lamp, plant, ball, barrel)
}
PROMINENT = tuple(sorted(BUILDERS))
AGAINST_WALL = ("sofa", "bed", "cabinet", "shelf")
