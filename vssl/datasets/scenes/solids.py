"""Convex solids that a scene is made of: where a ray meets them, and what their surface looks like there.

Everything is in the frame of the object that the solid belongs to: x to the right, y up, metres. Solids do not
rotate; their object does (about the vertical).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32

Array = np.ndarray
Point = tuple[float, float, float]
MISS = np.float32(np.inf)


@dataclass
class Rays:
    """Rays that leave one point.

    A hit at parameter t lies at ``origin + t * direction``. Directions are not normalised: camera rays have length
    1 along the optical axis, so that t is the z-depth itself; shadow rays end at t = 1.
    """

    origin: Point
    direction: tuple[Array, Array, Array]  # x, y, z; equal shapes, float32

    @cached_property
    def inverse(self) -> tuple[Array, Array, Array]:
        """1 / direction, a component of exactly zero counted as a very small one (a large finite inverse)."""
        x, y, z = (1 / np.where(np.abs(d) < 1e-12, np.float32(1e-12), d) for d in self.direction)
        return x, y, z

    def crop(self, window: tuple[slice, slice]) -> "Rays":
        """The rays of an image window (a view, no copy)."""
        cropped = Rays(self.origin, tuple(d[window] for d in self.direction))
        x, y, z = self.inverse
        cropped.inverse = x[window], y[window], z[window]
        return cropped

    def rotated(self, yaw: float, position: Point) -> "Rays":
        """The same rays seen from an object at `position`, turned by `yaw` radians about the vertical."""
        cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
        x, y, z = (o - p for o, p in zip(self.origin, position, strict=True))
        dx, dy, dz = self.direction
        return Rays((cos * x - sin * z, y, sin * x + cos * z), (cos * dx - sin * dz, dy, sin * dx + cos * dz))

    def at(self, t: Array) -> tuple[Array, Array, Array]:
        """Points at parameter t."""
        return tuple(o + t * d for o, d in zip(self.origin, self.direction, strict=True))


@dataclass(frozen=True)
class Surface:
    """What shading needs of hit points: unit normals and two texture coordinates in metres."""

    normal: tuple[Array, Array, Array]
    u: Array
    v: Array


def corners(low: Point, high: Point) -> Iterator[Point]:
    """The eight corners of an axis-parallel box."""
    for x in (low[0], high[0]):
        for y in (low[1], high[1]):
            for z in (low[2], high[2]):
                yield x, y, z


@dataclass(frozen=True)
class Box:
    """An axis-parallel box."""

    low: Point
    high: Point

    def intersect(self, rays: Rays) -> Float32[Array, "*rays"]:
        """First t > 0 on each ray, inf where the ray misses. The origin must lie outside."""
        enter, leave = slabs(rays, self.low, self.high)
        return np.where((enter <= leave) & (enter > 0), enter, MISS)

    def surface(self, x: Array, y: Array, z: Array) -> Surface:
        """Normal and texture coordinates (centred on the face) of points on the box."""
        centre = [(a + b) / 2 for a, b in zip(self.low, self.high, strict=True)]
        local = [p - c for p, c in zip((x, y, z), centre, strict=True)]
        half = [(b - a) / 2 for a, b in zip(self.low, self.high, strict=True)]
        # The face is the one whose plane is nearest: largest |p| - half.
        beyond = np.stack([np.abs(p) - h for p, h in zip(local, half, strict=True)])
        return _axis_surface(beyond.argmax(axis=0), local)


def slabs(rays: Rays, low: Point, high: Point) -> tuple[Array, Array]:
    """Where rays enter and leave an axis-parallel box: (enter, leave); they miss it where enter > leave."""
    enter, leave = None, None
    for origin, inverse, a, b in zip(rays.origin, rays.inverse, low, high, strict=True):
        ta, tb = (a - origin) * inverse, (b - origin) * inverse
        near, far = np.minimum(ta, tb), np.maximum(ta, tb)
        enter = near if enter is None else np.maximum(enter, near, out=enter)
        leave = far if leave is None else np.minimum(leave, far, out=leave)
    return enter, leave  # type: ignore[return-value]  # there are three axes: neither is None


def _axis_surface(axis: Array, local: list[Array]) -> Surface:
    x, y, z = local
    normal = tuple(np.where(axis == k, np.sign(p), 0).astype(np.float32) for k, p in enumerate(local))
    return Surface(normal, np.where(axis == 0, z, x), np.where(axis == 1, z, y))


@dataclass(frozen=True)
class Ellipsoid:
    """An axis-parallel ellipsoid; a sphere when the three radii agree."""

    centre: Point
    radii: Point

    @property
    def low(self) -> Point:
        x, y, z = (c - r for c, r in zip(self.centre, self.radii, strict=True))
        return x, y, z

    @property
    def high(self) -> Point:
        x, y, z = (c + r for c, r in zip(self.centre, self.radii, strict=True))
        return x, y, z

    def intersect(self, rays: Rays) -> Float32[Array, "*rays"]:
        """First t > 0 on each ray, inf where the ray misses. The origin must lie outside."""
        # Scaled to a unit sphere at 0: |o + t d|² = 1.
        ox, oy, oz = ((o - c) / r for o, c, r in zip(rays.origin, self.centre, self.radii, strict=True))
        dx, dy, dz = (d / r for d, r in zip(rays.direction, self.radii, strict=True))
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        square = b * b - a * (ox * ox + oy * oy + oz * oz - 1)
        t = (-b - np.sqrt(np.maximum(square, 0))) / a
        return np.where((square >= 0) & (t > 0), t, MISS)

    def surface(self, x: Array, y: Array, z: Array) -> Surface:
        """Normal and texture coordinates (arc around the vertical, height) of points on the ellipsoid."""
        x, y, z = (p - c for p, c in zip((x, y, z), self.centre, strict=True))
        normal = _unit(*(p / (r * r) for p, r in zip((x, y, z), self.radii, strict=True)))
        return Surface(normal, np.arctan2(x, z) * self.radii[0], y)


@dataclass(frozen=True)
class Frustum:
    """An upright cylinder (equal radii), cone (one radius 0) or truncated cone, closed by two discs."""

    x: float
    z: float
    bottom: float  # height of the lower disc
    top: float
    bottom_radius: float
    top_radius: float

    @property
    def low(self) -> Point:
        radius = max(self.bottom_radius, self.top_radius)
        return self.x - radius, self.bottom, self.z - radius

    @property
    def high(self) -> Point:
        radius = max(self.bottom_radius, self.top_radius)
        return self.x + radius, self.top, self.z + radius

    def intersect(self, rays: Rays) -> Float32[Array, "*rays"]:
        """First t > 0 on each ray, inf where the ray misses. The origin must lie outside."""
        dx, dy, dz = rays.direction
        ox, oy, oz = rays.origin[0] - self.x, rays.origin[1] - self.bottom, rays.origin[2] - self.z
        height = self.top - self.bottom
        slope = (self.top_radius - self.bottom_radius) / height
        # The side: x² + z² = (bottom_radius + slope·y)², y from the lower disc.
        radius = self.bottom_radius + slope * oy
        growth = slope * dy
        a = dx * dx + dz * dz - growth * growth
        a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
        b = ox * dx + oz * dz - radius * growth
        square = b * b - a * (ox * ox + oz * oz - radius * radius)
        root = np.sqrt(np.maximum(square, 0))
        nearest = np.full(dx.shape, MISS)
        for t in ((-b - root) / a, (-b + root) / a):
            y = oy + t * dy
            np.minimum(nearest, t, out=nearest, where=(square >= 0) & (t > 0) & (y >= 0) & (y <= height))
        for y, disc in ((0.0, self.bottom_radius), (height, self.top_radius)):
            t = (y - oy) * rays.inverse[1]
            px, pz = ox + t * dx, oz + t * dz
            np.minimum(nearest, t, out=nearest, where=(t > 0) & (px * px + pz * pz <= disc * disc))
        return nearest

    def surface(self, x: Array, y: Array, z: Array) -> Surface:
        """Normal and texture coordinates (arc and height on the side, x and z on the discs)."""
        x, y, z = x - self.x, y - self.bottom, z - self.z
        height, radius = self.top - self.bottom, max(self.bottom_radius, self.top_radius)
        slope = (self.top_radius - self.bottom_radius) / height
        distance = np.sqrt(x * x + z * z)
        off_side = np.abs(distance - (self.bottom_radius + slope * y))
        disc = np.minimum(np.abs(y), np.abs(y - height)) < off_side
        up = np.where(y > height / 2, np.float32(1), np.float32(-1))
        nx, ny, nz = _unit(x, -slope * distance, z)
        normal = np.where(disc, 0, nx), np.where(disc, up, ny), np.where(disc, 0, nz)
        return Surface(normal, np.where(disc, x, np.arctan2(x, z) * radius), np.where(disc, z, y))


Solid = Box | Ellipsoid | Frustum


@dataclass(frozen=True)
class Interior:
    """The six inner faces of an axis-parallel room; faces 0, 1: walls x, 2: floor, 3: ceiling, 4, 5: walls z."""

    low: Point
    high: Point

    def intersect(self, rays: Rays) -> tuple[Float32[Array, "*rays"], Array]:
        """Where each ray leaves the room: (t, face). The origin must lie inside."""
        exits = []
        for o, d, inverse, a, b in zip(rays.origin, rays.direction, rays.inverse, self.low, self.high, strict=True):
            exits.append(np.where(d > 0, b - o, a - o).astype(np.float32) * inverse)
        exits = np.abs(np.stack(exits))
        axis = exits.argmin(axis=0)
        forward = np.choose(axis, rays.direction) > 0
        return exits.min(axis=0), 2 * axis + forward

    def surface(self, face: int, x: Array, y: Array, z: Array) -> Surface:
        """Inward normal and texture coordinates: (x or z, height above the floor) on walls, (x, z) elsewhere."""
        axis, sign = face // 2, np.float32(1 - 2 * (face % 2))
        zero = np.zeros_like(x)
        normal = tuple(zero + sign if k == axis else zero for k in range(3))
        u, v = ((z, y), (x, z), (x, y))[axis]
        return Surface(normal, u, v)


def _unit(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    scale = 1 / np.sqrt(x * x + y * y + z * z + np.float32(1e-20))
    return x * scale, y * scale, z * scale
