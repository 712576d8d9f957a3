"""Draws a scene: a room around one prominent thing, others beside it, pictures on the walls, a camera, lights.

World frame: x to the right, y up (the floor is y = 0), z away from the default camera; metres. The prominent thing
stands at the origin.
"""

from dataclasses import dataclass

import numpy as np

from vssl.datasets.scenes.furniture import AGAINST_WALL, BUILDERS, PROMINENT, Thing, poster, rug, window
from vssl.datasets.scenes.materials import (
    Colour,
    Material,
    bricks,
    checker,
    mottled,
    plain,
    planks,
    random_colour,
    random_material,
    stripes,
    tiles,
)
from vssl.datasets.scenes.solids import Interior, Point, Rays

Generator = np.random.Generator


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels and a square image.

    Attributes:
        position: metres.
        right, up, forward: orthonormal axes of the image; forward is the optical axis.
        fov: full angle of view across the image, radians.
    """

    position: Point
    right: Point
    up: Point
    forward: Point
    fov: float

    def rays(self, size: int) -> Rays:
        """One ray through each pixel's centre, (size, size), z-depth 1 a unit of t. Row 0 is the top of the image."""
        offset = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
        u, v = offset[None, :] * float(np.tan(self.fov / 2)), -offset[:, None] * float(np.tan(self.fov / 2))
        return Rays(
            self.position, tuple(f + u * r + v * p for f, r, p in zip(self.forward, self.right, self.up, strict=True))
        )

    def through(self, u: float, v: float) -> Rays:
        """The ray through one point of the image, u to the right and v up, both in -1..1."""
        scale = float(np.tan(self.fov / 2))
        axes = zip(self.forward, self.right, self.up, strict=True)
        return Rays(self.position, tuple(np.float32([f + scale * (u * r + v * p)]) for f, r, p in axes))


@dataclass(frozen=True)
class Light:
    """A point light; `strength` is the irradiance in linear RGB close to it, halved at `reach` metres."""

    position: Point
    strength: Colour
    reach: float


@dataclass(frozen=True)
class Scene:
    """Everything that the renderer needs. Rooms are under 10 m across, so that depth fits NYUv2's range."""

    room: Interior
    walls: Material
    floor: Material
    ceiling: Material
    things: tuple[Thing, ...]
    camera: Camera
    lights: tuple[Light, ...]
    ambient: Colour


def look_at(position: Point, target: Point, fov: float, roll: float = 0.0) -> Camera:
    """A camera at `position` that has `target` in the middle of its image. `fov` and `roll` in radians."""
    position_array = np.array(position, dtype=np.float64)
    forward = np.array(target, dtype=np.float64) - position_array
    forward /= np.linalg.norm(forward)
    right = np.array([forward[2], 0.0, -forward[0]])
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    cos, sin = np.cos(roll), np.sin(roll)
    right, up = cos * right + sin * up, cos * up - sin * right
    return Camera(_point(position_array), _point(right), _point(up), _point(forward), fov=float(fov))


def _point(array: np.ndarray) -> Point:
    x, y, z = map(float, array)
    return x, y, z


def compose(rng: Generator, prominent: str) -> Scene:
    """A random scene built around one thing of class `prominent`."""
    hero = BUILDERS[prominent](rng)
    if prominent in AGAINST_WALL:
        hero = hero.placed((0, 0, 0), rng.integers(2) * rng.normal(0, 0.15))
        gap, azimuth = rng.uniform(0.02, 0.25), rng.uniform(-1.0, 1.0)
    else:
        hero = hero.placed((0, 0, 0), rng.uniform(-np.pi, np.pi))
        gap, azimuth = rng.uniform(0.1, 1.6), rng.uniform(-0.9, 0.9)
    camera = _camera_on(rng, hero, azimuth)
    room = _room_around(rng, hero, camera, gap)
    things = [hero]
    _add_pictures(rng, things, room, camera)
    _add_others(rng, things, room, camera)
    return Scene(room, *_room_materials(rng), tuple(things), camera, *lighting(rng, room))


def _camera_on(rng: Generator, hero: Thing, azimuth: float) -> Camera:
    """A camera from which the thing fills most of the image."""
    fov = np.deg2rad(rng.uniform(45, 75))
    extent = max(1.5 * hero.radius, hero.high[1])
    distance = extent / (2 * np.tan(fov / 2) * rng.uniform(0.65, 1.1))
    distance = max(distance, hero.radius + 0.45)
    position = distance * np.sin(azimuth), rng.uniform(0.8, 1.9), -distance * np.cos(azimuth)
    target = 0.0, max(0.1, 0.5 * hero.high[1]), 0.0
    camera = look_at(position, target, fov)
    # Not always in the middle: often lower, so that ceilings are seen too.
    tilt, pan = (0.03, 0.3)[rng.integers(2)] * fov + rng.normal(0, 0.04) * fov, rng.normal(0, 0.1) * fov
    forward = np.array(camera.forward) + np.tan(tilt) * np.array(camera.up) + np.tan(pan) * np.array(camera.right)
    return look_at(position, tuple(np.array(position) + forward), fov, roll=np.deg2rad(rng.normal(0, 2.5)))


def _room_around(rng: Generator, hero: Thing, camera: Camera, gap: float) -> Interior:
    x, height, z = camera.position
    radius = hero.radius
    back = hero.high[2] if gap < 0.3 and abs(hero.yaw) < 1e-6 else radius
    left = min(x - 0.2, -radius) - rng.uniform(0.1, 2.0)
    right = max(x + 0.2, radius) + rng.uniform(0.1, 2.0)
    front, top = z - rng.uniform(0.3, 1.5), max(height + 0.3, rng.uniform(2.3, 2.8))
    return Interior((float(left), 0.0, float(front)), (float(right), float(top), float(back + gap)))


def _room_materials(rng: Generator) -> tuple[Material, Material, Material]:
    """Walls, floor, ceiling."""
    walls = random_material(rng, (plain, plain, mottled, stripes, bricks, tiles), (0.2, 0.7))
    pale = random_colour(rng, (0.0, 0.55), (0.45, 1.0))
    if rng.random() < 0.75:  # most walls: one pale colour and a close second
        walls = Material(
            walls.pattern,
            (pale, tuple(c * rng.uniform(0.5, 0.95) for c in pale)),
            walls.period,
            walls.angle,
            walls.offset,
        )
    if rng.random() < 0.6:
        band = rng.uniform(0.06, 0.15) if rng.random() < 0.8 else rng.uniform(0.7, 1.1)
        walls = Material(walls.pattern, walls.colours, walls.period, walls.angle, walls.offset,
                         skirting=(band, random_colour(rng, (0.0, 0.6), (0.2, 1.0))))  # fmt: skip
    floor = random_material(rng, (planks, planks, tiles, checker, mottled, plain), (0.12, 0.5))
    ceiling = random_material(rng, (plain, plain, plain, mottled, tiles), (0.3, 0.6))
    white = random_colour(rng, (0.0, 0.25), (0.7, 1.0))
    return walls, floor, Material(ceiling.pattern, (white, tuple(c * 0.8 for c in white)), ceiling.period)


def _add_pictures(rng: Generator, things: list[Thing], room: Interior, camera: Camera) -> None:
    """Posters and windows where the camera sees a wall."""
    taken: list[tuple[int, float, float]] = []  # face, middle and half width along the wall
    for _ in range(int(rng.integers(1, 5))):
        new = (poster if rng.random() < 0.6 else window)(rng)
        half_width, half_height = new.high[0] + 0.1, new.high[1]
        ray = camera.through(rng.uniform(-0.9, 0.9), rng.uniform(-0.1, 0.8))
        t, faces = room.intersect(ray)
        x, y, z = (float(p[0]) for p in ray.at(t))
        face = int(faces[0])
        if face not in (0, 1, 5):
            continue
        axis = 0 if face == 5 else 2
        low, high = room.low[axis] + half_width, room.high[axis] - half_width
        if low > high:
            continue
        along = min(max(x if axis == 0 else z, low), high)
        if any(f == face and abs(along - middle) < half_width + half for f, middle, half in taken):
            continue
        taken.append((face, along, half_width))
        y = min(max(y, 0.9 + half_height), room.high[1] - half_height - 0.1)
        if face == 5:
            things.append(new.placed((along, y, room.high[2]), 0.0))
        else:
            side = room.high[0] if face == 1 else room.low[0]
            things.append(new.placed((side, y, along), np.pi / 2 if face == 1 else -np.pi / 2))


def _add_others(rng: Generator, things: list[Thing], room: Interior, camera: Camera) -> None:
    """Up to four more things where the camera sees the floor and nothing stands, and perhaps a rug."""
    standing = list(things[:1])
    for _ in range(int(rng.integers(1, 6))):
        name = PROMINENT[rng.integers(len(PROMINENT))]
        ray = camera.through(rng.uniform(-1.0, 1.0), rng.uniform(-0.8, 0.5))
        t, _ = room.intersect(ray)
        x, _, z = (float(p[0]) for p in ray.at(t))
        if np.hypot(x - camera.position[0], z - camera.position[2]) < 1.3:
            continue
        new = BUILDERS[name](rng)
        yaw = rng.uniform(-np.pi, np.pi)
        if name in AGAINST_WALL:
            x, z, yaw = _against_wall(new, room, x, z)
        new = _moved_inside(new.placed((x, 0, z), yaw), room)
        if len(standing) < 5 and _fits(new, standing, room, camera):
            standing.append(new)
            things.append(new)
    if rng.random() < 0.4:
        x, z = rng.normal(0, 0.6, size=2)
        things.append(rug(rng).placed((x, 0, z), rng.uniform(-0.4, 0.4)))


def _against_wall(thing: Thing, room: Interior, x: float, z: float) -> tuple[float, float, float]:
    """The place and yaw with its back to the wall nearest to (x, z); never the wall behind the camera."""
    half_width, depth = max(-thing.low[0], thing.high[0]), thing.high[2] + 0.03
    distances = {"back": room.high[2] - z, "left": x - room.low[0], "right": room.high[0] - x}
    wall = min(distances, key=distances.get)
    if wall == "back":
        x = min(max(x, room.low[0] + half_width), room.high[0] - half_width)
        return x, room.high[2] - depth, 0.0
    z = min(max(z, room.low[2] + half_width), room.high[2] - half_width)
    return (room.low[0] + depth, z, -np.pi / 2) if wall == "left" else (room.high[0] - depth, z, np.pi / 2)


def _moved_inside(thing: Thing, room: Interior) -> Thing:
    """The thing, moved away from the walls that it would stand in."""
    x, _, z = thing.position
    half_x, half_z = (half + 0.02 for half in _footprint(thing))
    x = min(max(x, room.low[0] + half_x), room.high[0] - half_x)
    z = min(max(z, room.low[2] + half_z), room.high[2] - half_z)
    return thing.placed((x, 0, z), thing.yaw)


def _fits(new: Thing, standing: list[Thing], room: Interior, camera: Camera) -> bool:
    """Whether a thing stands free, inside the room, and neither at the camera nor before the prominent thing."""
    x, _, z = new.position
    half_x, half_z = _footprint(new)
    inside = room.low[0] < x - half_x and x + half_x < room.high[0]
    inside &= room.low[2] < z - half_z and z + half_z < room.high[2]
    cx, _, cz = camera.position
    if not inside or np.hypot(x - cx, z - cz) < new.radius + 0.7:
        return False
    for other in standing:
        other_x, other_z = _footprint(other)
        if abs(x - other.position[0]) < half_x + other_x and abs(z - other.position[2]) < half_z + other_z:
            return False
    # Distance of its middle from the line of sight to the prominent thing (at the origin), when it is nearer.
    length = np.hypot(cx, cz)
    along, across = ((x - cx) * -cx + (z - cz) * -cz) / length, abs((x - cx) * -cz + (z - cz) * cx) / length
    return along > length or across > new.radius + 0.5 * standing[0].radius


def _footprint(thing: Thing) -> tuple[float, float]:
    """Half extents in world x and z of the thing's turned base."""
    half_x, half_z = max(-thing.low[0], thing.high[0]), max(-thing.low[2], thing.high[2])
    cos, sin = abs(np.cos(thing.yaw)), abs(np.sin(thing.yaw))
    return float(cos * half_x + sin * half_z), float(sin * half_x + cos * half_z)


def lighting(rng: Generator, room: Interior) -> tuple[tuple[Light, ...], Colour]:
    """One or two lights just below the ceiling (above all things), and ambient light."""
    lights = []
    total = rng.uniform(0.6, 1.3)
    count = 1 if rng.random() < 0.6 else 2
    for _ in range(count):
        x, z = (rng.uniform(room.low[k] + 0.1, room.high[k] - 0.1) for k in (0, 2))
        warm = rng.normal(0, 0.13)
        strength = tuple(total / count * c for c in (1 + warm, 1.0, 1 - warm))
        y = room.high[1] - rng.uniform(0.05, 0.3)
        lights.append(Light((x, y, z), strength, reach=rng.uniform(2.0, 4.5)))
    level, tint = rng.uniform(0.3, 0.6), rng.normal(0, 0.07)
    return tuple(lights), (level * (1 + tint), level, level * (1 - tint))
