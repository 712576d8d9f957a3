"""Ray-casts a scene: image, exact depth, labels.

Each pixel has one ray through its centre. Depth is z-depth: metres along the optical axis, not along the ray. The
result depends on (seed, stream, index, size) alone, never on which process renders it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8

from vssl.datasets.scenes.families import DEFAULT_FAMILY, Family, family_named
from vssl.datasets.scenes.furniture import CLASSES, PROMINENT, Thing, label_of
from vssl.datasets.scenes.layout import Camera, Light, Scene, compose
from vssl.datasets.scenes.materials import Material
from vssl.datasets.scenes.solids import Rays, Surface, corners

Array = np.ndarray

RENDERER_VERSION = 2  # raise it with every change that alters a pixel
MIN_SHARE = 0.15  # of the image that the prominent thing covers at least
_MAX_ATTEMPTS = 200
# Rays towards a light stop this share short of the surface, or it would shade itself.
_SHADOW_MARGIN = 2e-3


@dataclass(frozen=True)
class Rendering:
    """One rendered scene, S × S pixels.

    Attributes:
        image: sRGB-like, uint8.
        depth: z-depth in metres, > 0 everywhere.
        labels: 1 + index into CLASSES; 0 for things without a class.
        prominent: the class among PROMINENT that covers most pixels.
    """

    image: UInt8[Array, "S S 3"]
    depth: Float32[Array, "S S"]
    labels: UInt8[Array, "S S"]
    prominent: str


def render(seed: int, stream: int, index: int, size: int, family: str = DEFAULT_FAMILY) -> Rendering:
    """The scene number `index` of a stream; streams (one per split) have no scene in common.

    Its prominent class goes round with the index. Drawings in which another thing covers more, or in which it covers
    less than MIN_SHARE of the image, are drawn again. Families (families.py) differ in colours and light only.
    """
    look = family_named(family)
    wanted = PROMINENT[index % len(PROMINENT)]
    for attempt in range(_MAX_ATTEMPTS):
        rng = np.random.default_rng((seed, stream, index, attempt))
        scene = compose(rng, wanted)
        hits = trace(scene, size)
        counts = np.bincount(hits.labels.ravel(), minlength=len(CLASSES) + 1)
        most = max(PROMINENT, key=lambda name: counts[label_of(name)])
        if most == wanted and counts[label_of(wanted)] >= MIN_SHARE * size * size:
            image = shade(look.dressed(scene, rng), hits, rng, look)
            return Rendering(image, hits.depth, hits.labels, wanted)
    raise RuntimeError(
        f"no scene with a prominent {wanted} in {_MAX_ATTEMPTS} drawings (seed {seed}, stream {stream}, index {index}, "
        f"{size} px). Try another --seed or a larger --size."
    )


@dataclass(frozen=True)
class Hits:
    """What each pixel's ray meets first.

    Attributes:
        rays: the camera's rays.
        depth: z-depth in metres.
        labels: annotation values.
        surface: 0..5 a face of the room, 6.. a part, counted through all things.
    """

    rays: Rays
    depth: Float32[Array, "S S"]
    labels: UInt8[Array, "S S"]
    surface: Array


def trace(scene: Scene, size: int) -> Hits:
    """Casts the camera's rays into the scene."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rays = scene.camera.rays(size)
        depth, surface = scene.room.intersect(rays)
        surface = surface.astype(np.int16)
        of_surface = [label_of(name) for name in ("wall", "wall", "floor", "ceiling", "wall", "wall")]
        for thing in scene.things:
            turned = rays.rotated(thing.yaw, thing.position)
            for part, window in zip(thing.parts, _windows(scene.camera, thing, size), strict=True):
                of_surface.append(part.label)
                if window is None:
                    continue
                t = part.solid.intersect(turned.crop(window))
                nearer = t < depth[window]
                np.copyto(depth[window], t, where=nearer)
                np.copyto(surface[window], np.int16(len(of_surface) - 1), where=nearer)
    return Hits(rays, depth, np.array(of_surface, dtype=np.uint8)[surface], surface)


def camera_normals(scene: Scene, hits: Hits) -> Float32[Array, "S S 3"]:
    """Exact unit normals of what is seen, in the camera's frame: x right, y up, z towards the camera."""
    flat = Rays(hits.rays.origin, tuple(d.ravel() for d in hits.rays.direction))
    world = np.empty((3, hits.depth.size), np.float32)
    for at, surface, _ in _visible(scene, hits, flat.at(hits.depth.ravel())):
        world[:, at] = surface.normal
    camera = scene.camera
    axes = np.array([camera.right, camera.up, [-component for component in camera.forward]], np.float32)
    # A surface is seen from its front, whichever side its solid calls outside.
    away = sum(n * d for n, d in zip(world, flat.direction, strict=True)) > 0
    normals = (axes @ np.where(away, -world, world)).T.reshape(*hits.depth.shape, 3)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _windows(camera: Camera, thing: Thing, size: int) -> Iterator[tuple[slice, slice] | None]:
    """Rows and columns that hold each part's image; None for parts behind the camera or outside the image."""
    cos, sin = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    points = np.array([list(corners(part.solid.low, part.solid.high)) for part in thing.parts])  # parts, 8, xyz
    x, y, z = np.moveaxis(points, -1, 0)
    world = [cos * x + sin * z, y, cos * z - sin * x]
    world = [w + (p - c) for w, p, c in zip(world, thing.position, camera.position, strict=True)]
    right, up, forward = (
        sum(a * w for a, w in zip(axis, world, strict=True)) for axis in (camera.right, camera.up, camera.forward)
    )
    scale = size / (2 * np.tan(camera.fov / 2))
    ahead = np.maximum(forward, 0.05)
    columns, rows = size / 2 + scale * right / ahead, size / 2 - scale * up / ahead
    bounds = np.stack([rows.min(1) - 1, rows.max(1) + 2, columns.min(1) - 1, columns.max(1) + 2])
    bounds = np.clip(bounds, 0, size).astype(int).T.tolist()
    for nearest, farthest, (top, bottom, left, end) in zip(forward.min(1), forward.max(1), bounds, strict=True):
        if farthest < 0.05:
            yield None
        elif nearest < 0.05:  # partly behind the camera: its projection is no bound
            yield slice(0, size), slice(0, size)
        else:
            yield (slice(top, bottom), slice(left, end)) if top < bottom and left < end else None


def shade(scene: Scene, hits: Hits, rng: np.random.Generator, family: Family) -> UInt8[Array, "S S 3"]:
    """Lights the traced scene: diffuse and glossy reflection, shadows, darker corners, sensor noise."""
    size = hits.depth.shape[0]
    depth = hits.depth.ravel()
    flat = Rays(hits.rays.origin, tuple(d.ravel() for d in hits.rays.direction))
    points = flat.at(depth)
    # A pixel's width on the surface: wider where the surface is seen at a grazing angle.
    pixel = depth * np.float32(2 * np.tan(scene.camera.fov / 2) / size)
    albedo = np.empty((size * size, 3), np.float32)
    normal = np.empty((3, size * size), np.float32)
    gloss, glow = np.zeros(size * size, np.float32), np.zeros(size * size, np.float32)
    for at, surface, material in _visible(scene, hits, points):
        toward = sum(n * d[at] for n, d in zip(surface.normal, flat.direction, strict=True))
        footprint = pixel[at] / np.clip(np.abs(toward), 0.15, None)
        albedo[at] = material.colour(surface.u, surface.v, footprint)
        normal[:, at] = surface.normal
        gloss[at], glow[at] = material.gloss, material.glow
    light = np.float32(scene.ambient) * _openness(scene, points, normal)[:, None]
    for lamp in scene.lights:
        light = light + _lit(scene, lamp, points, normal, flat, gloss)
    linear = family.through_air(albedo * (light * (1 - glow[:, None]) + glow[:, None]), depth)
    noise = rng.normal(0, rng.uniform(0.0, 0.02), size=linear.shape).astype(np.float32)
    image = np.sqrt(np.clip(linear * family.draw_exposure(rng), 0, 1)) + noise
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(size, size, 3)


def _visible(scene: Scene, hits: Hits, points: tuple[Array, ...]) -> Iterator[tuple[Array, Surface, Material]]:
    """Each surface that some pixel shows: (flat pixel indices, their surface in the world frame, material)."""
    seen = hits.surface.ravel()
    present = np.bincount(seen)
    materials = [scene.walls, scene.walls, scene.floor, scene.ceiling, scene.walls, scene.walls]
    for face, material in enumerate(materials):
        if face < len(present) and present[face]:
            at = np.flatnonzero(seen == face)
            yield at, scene.room.surface(face, *(p[at] for p in points)), material
    number = len(materials)
    for thing in scene.things:
        cos, sin = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
        for part in thing.parts:
            if number < len(present) and present[number]:
                at = np.flatnonzero(seen == number)
                x, y, z = (p[at] - q for p, q in zip(points, thing.position, strict=True))
                local = part.solid.surface(cos * x - sin * z, y, sin * x + cos * z)
                nx, ny, nz = local.normal
                world = cos * nx + sin * nz, ny, cos * nz - sin * nx
                yield at, Surface(world, local.u, local.v), part.material
            number += 1


def _openness(scene: Scene, points: tuple[Array, ...], normal: Array) -> Array:
    """Ambient occlusion of the empty room: 1 in the open, down to about 0.35 in a corner."""
    openness = np.ones_like(points[0])
    for k, p in enumerate(points):
        for distance in (p - scene.room.low[k], scene.room.high[k] - p):
            # A surface does not occlude itself, only the ones across it.
            openness *= 1 - 0.4 * (1 - np.abs(normal[k])) * np.exp(-3.5 * np.maximum(distance, 0))
    return openness


def _lit(
    scene: Scene, lamp: Light, points: tuple[Array, ...], normal: Array, view: Rays, gloss: Array
) -> Float32[Array, "points 3"]:
    """Light that one lamp sends to each point, shadows included."""
    # From the lamp to the points, so that all shadow rays share an origin.
    down = Rays(lamp.position, tuple(p - o for p, o in zip(points, lamp.position, strict=True)))
    square = sum(d * d for d in down.direction)
    facing = -sum(n * d for n, d in zip(normal, down.direction, strict=True)) / np.sqrt(square)
    strength = np.maximum(facing, 0) / (1 + square / np.float32(lamp.reach**2))
    shiny = np.flatnonzero((gloss > 0) & (facing > 0))
    if shiny.size:
        strength[shiny] += _highlight(down, view, normal, gloss, shiny)
    strength[facing > 0] *= ~_shadowed(scene, down, np.flatnonzero(facing > 0))
    return strength[:, None] * np.float32(lamp.strength)


def _highlight(down: Rays, view: Rays, normal: Array, gloss: Array, at: Array) -> Array:
    """Blinn-Phong highlight at the given points."""
    lengths = [np.sqrt(sum(d[at] ** 2 for d in rays.direction)) for rays in (down, view)]
    half = [-(a[at] / lengths[0] + b[at] / lengths[1]) for a, b in zip(down.direction, view.direction, strict=True)]
    cosine = sum(h * n[at] for h, n in zip(half, normal, strict=True)) / np.sqrt(sum(h * h for h in half) + 1e-12)
    return gloss[at] * np.maximum(cosine, 0) ** 24


def _shadowed(scene: Scene, down: Rays, at: Array) -> Array:
    """Whether something stands between the lamp and each of the points `at`."""
    shadowed = np.zeros(at.size, bool)
    direction = tuple(d[at] for d in down.direction)
    square = sum(d * d for d in direction)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for thing in scene.things:
            centre, radius = _bounding_sphere(thing)
            # Distance of the ball's centre from the shadow ray's line: only near ones can be hit.
            to = [c - o for c, o in zip(centre, down.origin, strict=True)]
            along = sum(t * d for t, d in zip(to, direction, strict=True))
            near = sum(t * t for t in to) - along * along / square < radius * radius
            index = np.flatnonzero(near & (along > 0) & ~shadowed)
            if not index.size:
                continue
            rays = Rays(down.origin, tuple(d[index] for d in direction)).rotated(thing.yaw, thing.position)
            hit = np.zeros(index.size, bool)
            for part in thing.parts:
                hit |= part.solid.intersect(rays) < 1 - _SHADOW_MARGIN
            shadowed[index[hit]] = True
    return shadowed


def _bounding_sphere(thing: Thing) -> tuple[tuple[float, float, float], float]:
    low, high = np.array(thing.low), np.array(thing.high)
    x, y, z = (float(c) for c in (low + high) / 2)
    cos, sin = float(np.cos(thing.yaw)), float(np.sin(thing.yaw))
    centre = cos * x + sin * z, y, cos * z - sin * x
    radius = float(np.linalg.norm(high - low)) / 2
    px, py, pz = thing.position
    return (centre[0] + px, centre[1] + py, centre[2] + pz), radius
