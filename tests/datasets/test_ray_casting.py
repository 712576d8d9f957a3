"""Rendered scenes: exact depth, labels that agree with geometry, determinism, enough of every class."""

import numpy as np
import pytest

from vssl.datasets.scenes import CLASSES, PROMINENT, render
from vssl.datasets.scenes.families import Family
from vssl.datasets.scenes.furniture import BUILDERS, SolidPart, Thing, label_of
from vssl.datasets.scenes.layout import Light, Scene, compose, look_at
from vssl.datasets.scenes.materials import Material, plain
from vssl.datasets.scenes.ray_casting import MIN_SHARE, camera_normals, shade, trace
from vssl.datasets.scenes.solids import Ellipsoid, Interior

GREY = Material(plain, ((0.5, 0.5, 0.5),))


def sphere_room(radius: float = 1.0) -> Scene:
    """A camera at the origin of a 20 m room looks along z at a sphere 5 m away."""
    ball = Thing((SolidPart(Ellipsoid((0.0, 0.0, 0.0), (radius,) * 3), GREY, label_of("ball")),), (0.0, 0.0, 5.0))
    room = Interior((-10.0, -10.0, -10.0), (10.0, 10.0, 10.0))
    camera = look_at((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), fov=np.pi / 3)
    lights = (Light((0.0, 9.0, -2.0), (1.0, 1.0, 1.0), 10.0),)
    return Scene(room, GREY, GREY, GREY, (ball,), camera, lights, (0.3, 0.3, 0.3))


def test_depth_is_the_closed_form_z_depth_of_sphere_and_wall():
    size = 65
    hits = trace(sphere_room(), size)
    offset = (np.arange(size) + 0.5) / size * 2 - 1
    u, v = np.meshgrid(offset * np.tan(np.pi / 6), -offset * np.tan(np.pi / 6))
    a = u**2 + v**2 + 1  # |t (u, v, 1) − (0, 0, 5)|² = 1
    square = 25 - a * 24
    ball = square > 0
    expected = np.where(ball, (5 - np.sqrt(np.maximum(square, 0))) / a, 10.0)
    assert hits.depth == pytest.approx(expected, abs=1e-4)
    # The far wall is one plane: its z-depth is the same everywhere, its distance is not.
    assert np.unique(hits.depth[~ball]).size == 1
    normals = camera_normals(sphere_room(), hits)
    point = np.stack([u, v, np.ones_like(u)], -1) * hits.depth[..., None]  # x right, y up, z forward
    outward = np.where(ball[..., None], point - [0, 0, 5], [0, 0, -1])
    assert normals == pytest.approx(outward * [1, 1, -1], abs=1e-3)
    assert (hits.labels == np.where(ball, label_of("ball"), label_of("wall"))).all()


def test_shadow_falls_on_the_side_away_from_the_light_only():
    scene = sphere_room()
    image = shade(scene, trace(scene, 65), np.random.default_rng(0), Family(exposure=(1.0, 1.0))).astype(float).mean(-1)
    top, bottom = image[24, 32], image[40, 32]  # both on the ball, lit from above
    assert top > 1.2 * bottom


def test_points_behind_floor_and_ceiling_pixels_lie_on_floor_and_ceiling():
    seen = {"floor": 0, "ceiling": 0}
    for index in range(27):
        scene = compose(np.random.default_rng((3, index)), PROMINENT[index % 9])
        hits = trace(scene, 48)
        height = scene.camera.position[1] + hits.depth * hits.rays.direction[1]
        for name, expected, tolerance in (("floor", 0.0, 0.02), ("ceiling", scene.room.high[1], 1e-3)):
            here = height[hits.labels == label_of(name)]  # rugs are floor and 12 mm thick
            assert (np.abs(here - expected) < tolerance).all()
            seen[name] += here.size > 0
        assert (height > -1e-3).all() and (height < scene.room.high[1] + 1e-3).all()
    assert seen["floor"] > 20 and seen["ceiling"] > 2


def test_each_part_is_found_by_its_window_as_by_a_search_over_the_whole_image():
    for index in range(9):
        scene = compose(np.random.default_rng((4, index)), PROMINENT[index])
        hits = trace(scene, 40)
        with np.errstate(all="ignore"):
            depth, _ = scene.room.intersect(hits.rays)
            for thing in scene.things:
                turned = hits.rays.rotated(thing.yaw, thing.position)
                for part in thing.parts:
                    depth = np.minimum(depth, part.solid.intersect(turned))
        assert np.array_equal(hits.depth, depth)


def test_same_numbers_same_pixels_and_other_numbers_other_scenes():
    first, again = render(5, 1, 7, 32), render(5, 1, 7, 32)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.depth, again.depth)
    for other in ((6, 1, 7), (5, 2, 7), (5, 1, 16)):
        assert not np.array_equal(first.depth, render(*other, 32).depth)


def test_a_scene_keeps_its_geometry_at_another_size():
    small, large = render(0, 0, 3, 32), render(0, 0, 3, 96)
    # The middle of every third large pixel block is the small pixel's centre: the same ray.
    assert small.depth == pytest.approx(large.depth[1::3, 1::3], abs=1e-3)
    assert (small.labels == large.labels[1::3, 1::3]).mean() > 0.995


@pytest.fixture(scope="module")
def many():
    return [render(0, 0, index, 32) for index in range(90)]


@pytest.mark.slow
def test_the_prominent_class_goes_round_and_fills_its_share(many):
    for index, scene in enumerate(many):
        counts = {name: (scene.labels == label_of(name)).mean() for name in PROMINENT}
        assert scene.prominent == PROMINENT[index % 9] == max(counts, key=counts.get)
        assert counts[scene.prominent] >= MIN_SHARE
    # Large on average: a probe on patch tokens sees several patches of it.
    assert np.mean([(s.labels == label_of(s.prominent)).mean() for s in many]) > 0.2


def test_every_class_is_in_enough_images_and_large_where_it_is(many):
    for name in CLASSES:
        shares = np.array([(scene.labels == label_of(name)).mean() for scene in many])
        present = shares > 0.01
        assert present.mean() > 0.08, name
        assert shares[present].mean() > 0.04, name


def test_depth_is_in_the_range_of_indoor_cameras_and_images_use_the_range_of_bytes(many):
    depth = np.stack([scene.depth for scene in many])
    assert depth.dtype == np.float32
    assert depth.min() > 0.1 and depth.max() < 10
    assert 0.5 < depth.std() < 3  # metres
    means = np.stack([scene.image.mean((0, 1)) for scene in many])
    assert (means.mean(0) > 40).all() and (means.mean(0) < 190).all()
    assert (means.std(0) > 20).all()  # of 255: scenes differ in colour


def test_rooms_stay_below_ten_metres():
    for index in range(200):
        scene = compose(np.random.default_rng((9, index)), PROMINENT[index % 9])
        corner = np.array(scene.room.high) - np.array(scene.room.low)
        assert np.linalg.norm(corner) < 14 and corner.max() < 10
        assert all(
            lo < c < hi for lo, c, hi in zip(scene.room.low, scene.camera.position, scene.room.high, strict=True)
        )


def test_no_thing_stands_around_the_camera_or_a_light():
    for index in range(100):
        scene = compose(np.random.default_rng((10, index)), PROMINENT[index % 9])
        for thing in scene.things:
            x, _, z = scene.camera.position
            if thing.high[1] > 1.0 and label_of("poster") != thing.parts[0].label != label_of("window"):
                assert np.hypot(x - thing.position[0], z - thing.position[2]) > thing.radius
            assert all(light.position[1] > thing.position[1] + thing.high[1] for light in scene.lights) or (
                thing.parts[0].label in (label_of("poster"), label_of("window"))
            )


@pytest.mark.parametrize("name", PROMINENT)
def test_furniture_stands_on_the_floor_and_has_plausible_size(name):
    for seed in range(30):
        thing = BUILDERS[name](np.random.default_rng(seed))
        assert -1e-9 <= thing.low[1] < 0.1
        assert 0.5 < thing.high[1] < 2.2
        assert thing.radius < 1.5
        assert {part.label for part in thing.parts} <= {0, label_of(name)}


def test_normals_of_a_drawn_scene_are_those_of_its_depth():
    scene = compose(np.random.default_rng(3), "sofa")
    size = 96
    hits = trace(scene, size)
    normals = camera_normals(scene, hits)
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(1, abs=1e-5)
    offset = ((np.arange(size) + 0.5) / size * 2 - 1) * np.tan(scene.camera.fov / 2)
    u, v = np.meshgrid(offset, -offset)
    points = np.stack([u, v, -np.ones_like(u)], -1) * hits.depth[..., None]
    right, down = (points[1:-1, 2:] - points[1:-1, :-2]), (points[2:, 1:-1] - points[:-2, 1:-1])
    from_depth = np.cross(down, right)
    from_depth /= np.linalg.norm(from_depth, axis=-1, keepdims=True)
    degrees = np.degrees(np.arccos(np.clip((from_depth * normals[1:-1, 1:-1]).sum(-1), -1, 1)))
    assert np.median(degrees) < 0.5  # edges between surfaces are the rest
