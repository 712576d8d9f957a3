"""Ray hits and normals against closed forms and against the solids' own equations."""

import numpy as np
import pytest

from vssl.datasets.scenes.solids import Box, Ellipsoid, Frustum, Interior, Rays


def rays(origin, *directions) -> Rays:
    return Rays(origin, tuple(np.array(directions, dtype=np.float32).T))


def test_sphere_is_hit_where_the_quadratic_says():
    sphere = Ellipsoid((0.0, 0.0, 5.0), (1.0, 1.0, 1.0))
    t = sphere.intersect(rays((0.0, 0.0, 0.0), (0, 0, 1), (0.1, 0, 1), (0, 1, 1), (0, 0, -1)))
    # |t·d − c|² = 1 with d = (0.1, 0, 1): 1.01 t² − 10 t + 24 = 0
    assert t[:2] == pytest.approx([4.0, (10 - np.sqrt(100 - 4 * 1.01 * 24)) / 2.02], abs=1e-5)
    assert np.isinf(t[2:]).all()  # beside it; behind the origin


def test_box_is_hit_on_its_near_face_also_by_axis_parallel_rays():
    box = Box((-1.0, -1.0, 2.0), (1.0, 1.0, 3.0))
    t = box.intersect(rays((0.0, 0.0, 0.0), (0, 0, 1), (0.25, 0.25, 1), (1, 0, 1), (0, 0, -1), (0, 1, 0)))
    assert t[:2] == pytest.approx([2.0, 2.0], abs=1e-6)
    assert np.isinf(t[2:]).all()


def test_cone_side_base_and_miss():
    cone = Frustum(x=0.0, z=4.0, bottom=-1.0, top=1.0, bottom_radius=1.0, top_radius=0.0)
    t = cone.intersect(rays((0.0, 0.0, 0.0), (0, 0, 1), (0, -0.5, 1), (0, 0.3, 1)))
    assert t[0] == pytest.approx(3.5, abs=1e-5)  # radius at half height is 0.5
    # y = −t/2 and z = 4 − (1 − y)/2 meet at t = 3.5 − t/4, below the base: missed
    assert np.isinf(t[1])
    assert np.isinf(t[2])  # over the apex
    from_below = cone.intersect(rays((0.0, -3.0, 4.0), (0, 1, 0), (0.6, 1, 0)))
    assert from_below[0] == pytest.approx(2.0, abs=1e-5)
    assert np.isinf(from_below[1])  # 1.2 m off the axis at the base


def test_cylinder_from_above_hits_the_disc_and_from_the_side_the_wall():
    cylinder = Frustum(x=0.0, z=0.0, bottom=0.0, top=2.0, bottom_radius=0.5, top_radius=0.5)
    assert cylinder.intersect(rays((0.2, 5.0, 0.0), (0, -1, 0)))[0] == pytest.approx(3.0, abs=1e-5)
    assert cylinder.intersect(rays((0.0, 1.0, -3.0), (0, 0, 1)))[0] == pytest.approx(2.5, abs=1e-5)


SOLIDS = {
    "box": (Box((-0.5, -0.3, 3.0), (0.6, 0.4, 3.7)), None),
    "ellipsoid": (
        Ellipsoid((0.1, 0.0, 3.0), (0.6, 0.4, 0.8)),
        lambda x, y, z: ((x - 0.1) / 0.6) ** 2 + (y / 0.4) ** 2 + ((z - 3) / 0.8) ** 2 - 1,
    ),
    "frustum": (
        Frustum(0.0, 3.0, -0.5, 0.5, 0.7, 0.3),
        lambda x, y, z: np.hypot(x, z - 3) - (0.5 - 0.4 * y),
    ),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_hits_are_first_and_on_the_surface_and_normals_are_its_gradient(name):
    solid, equation = SOLIDS[name]
    rng = np.random.default_rng(0)
    directions = np.stack([rng.uniform(-0.3, 0.3, 4000), rng.uniform(-0.3, 0.3, 4000), np.ones(4000)], axis=1)
    shot = rays((0.05, 0.02, 0.0), *directions)
    with np.errstate(all="ignore"):
        t = solid.intersect(shot)
    hit = np.isfinite(t)
    assert 0.05 < hit.mean() < 0.95
    points = np.stack([p[hit] for p in shot.at(np.where(hit, t, 0))])
    normal = np.stack(solid.surface(*points).normal)
    assert np.linalg.norm(normal, axis=0) == pytest.approx(1, abs=1e-5)
    # Seen from outside, normals face the viewer (tangent rays aside).
    assert (sum(n * d[hit] for n, d in zip(normal, shot.direction, strict=True)) < 1e-3).all()
    low, high = np.array(solid.low)[:, None], np.array(solid.high)[:, None]
    assert (points > low - 1e-4).all() and (points < high + 1e-4).all()
    # No point of the ray between origin and hit is inside, and one just behind the hit is.
    if equation is not None:
        side = np.abs(normal[1]) < 0.999
        assert np.abs(equation(*points))[side].max() < 1e-4
        step = 1e-3
        gradient = np.stack(
            [equation(*(points.astype(float) + step * e)) - equation(*(points.astype(float) - step * e)) for e in
             np.eye(3)[:, :, None]]
        )  # fmt: skip
        gradient /= np.linalg.norm(gradient, axis=0)
        assert (gradient * normal).sum(0)[side].min() > 0.999


def test_inside_of_a_room_all_six_faces():
    room = Interior((-1.0, 0.0, -2.0), (3.0, 2.5, 4.0))
    directions = [(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)]
    t, face = room.intersect(rays((0.0, 1.0, 0.0), *directions))
    assert t == pytest.approx([1, 3, 1, 1.5, 2, 4], abs=1e-5)
    assert face.tolist() == [0, 1, 2, 3, 4, 5]
    for number, direction in enumerate(directions):
        normal = np.array(room.surface(number, *np.zeros((3, 1), np.float32)).normal)[:, 0]
        assert normal.tolist() == (-np.array(direction)).tolist()


def test_turning_rays_into_a_things_frame_leaves_hits_where_they_are():
    box = Box((-0.5, -0.5, -0.2), (0.5, 0.5, 0.2))
    # Turned by 90°, the thin side lies along world x, so a ray along z meets the wide one: 0.5 before the middle.
    ahead = rays((0.0, 0.0, 0.0), (0, 0, 1))
    assert box.intersect(ahead.rotated(np.pi / 2, (0.0, 0.0, 3.0)))[0] == pytest.approx(2.5, abs=1e-5)
    assert box.intersect(ahead.rotated(0.0, (0.0, 0.0, 3.0)))[0] == pytest.approx(2.8, abs=1e-5)
