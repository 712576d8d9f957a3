"""Families of scenes: the same rooms and things, other colours, air and light."""

from colorsys import rgb_to_hsv

import numpy as np
import pytest

from vssl.datasets.scenes import CLASSES, FAMILIES, PROMINENT, render
from vssl.datasets.scenes.families import Family, family_named, in_hue
from vssl.datasets.scenes.layout import compose
from vssl.datasets.scenes.materials import random_material


def hue(colour) -> float:
    return rgb_to_hsv(*(c**0.5 for c in colour))[0]


def turns_apart(a: float, b: float) -> float:
    return abs((a - b + 0.5) % 1 - 0.5)


def test_families_share_geometry_and_differ_in_looks():
    rooms, colours, mixed = (render(0, 0, 3, 32, family) for family in ("rooms", "colours", "mixed"))
    for other in (colours, mixed):
        assert np.array_equal(rooms.labels, other.labels) and np.array_equal(rooms.depth, other.depth)
        assert not np.array_equal(rooms.image, other.image)


def test_a_class_has_its_hue_and_things_of_no_class_have_any():
    rng = np.random.default_rng(0)
    family = FAMILIES["colours"]
    for index in range(18):
        scene = family.dressed(compose(rng, PROMINENT[index % len(PROMINENT)]), rng)
        for part in (part for thing in scene.things for part in thing.parts if part.label):
            expected = (part.label - 1) / len(CLASSES)
            assert all(turns_apart(hue(c), expected) <= family.hue_spread + 1e-6 for c in part.material.colours)
        walls = CLASSES.index("wall") / len(CLASSES)
        assert all(turns_apart(hue(c), walls) <= family.hue_spread + 1e-6 for c in scene.walls.colours)


def test_in_hue_keeps_brightness_and_bounds_saturation():
    material = random_material(np.random.default_rng(1))
    for before, after in zip(material.colours, in_hue(material, 0.3).colours, strict=True):
        (_, _, value), (_, saturation, same) = (rgb_to_hsv(*(c**0.5 for c in colour)) for colour in (before, after))
        assert same == pytest.approx(value) and 0.45 <= saturation <= 0.95


def test_haze_replaces_light_with_distance():
    family = Family(haze=4.0)
    seen = family.through_air(np.float32([[1.0, 0, 0]] * 3), np.float32([0.0, 4.0, 100.0]))
    share = np.exp(-1.0)
    assert seen == pytest.approx(
        np.float32([[1, 0, 0], [share + 0.5 * (1 - share), *[0.5 * (1 - share)] * 2], [0.5] * 3])
    )
    assert Family().through_air(seen, np.float32([1.0, 1, 1])) is seen


def test_exposure_is_uniform_in_its_logarithm_where_it_spans_octaves():
    rng = np.random.default_rng(0)
    drawn = np.log([FAMILIES["mixed"].draw_exposure(rng) for _ in range(4000)])
    low, high = np.log(FAMILIES["mixed"].exposure)
    assert drawn.min() >= low and drawn.max() <= high
    assert drawn.mean() == pytest.approx((low + high) / 2, abs=0.03)


def test_an_unknown_family_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match="unknown family 'fog': expected rooms, colours, mixed"):
        family_named("fog")
