"""Joint augmentation: image and annotation stay aligned, depth keeps its unit, draws are reproducible."""

import albumentations as A
import numpy as np
import pytest

from vssl.datasets import joint_transform


def ramp(height: int = 60, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """An image whose red is the column and green the row, and an annotation that holds both too."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns * 3, rows * 3, np.zeros_like(rows)], -1).astype(np.uint8)
    return image, (columns + 1000 * rows).astype(np.float32)


@pytest.mark.parametrize("size", [20, 48, 120])
def test_image_and_annotation_stay_aligned(size):
    transform = joint_transform(size, scale=(0.3, 0.9))
    image, annotation = ramp()
    for position in range(40):
        cropped, moved = transform(image, annotation, position)
        assert cropped.shape == (size, size, 3) and moved.shape == (size, size)
        columns, rows = moved % 1000, moved // 1000
        # Nearest pixel against area average: apart by less than a pixel or one step of the resized grid.
        step = max(1.0, 80 / size)
        assert np.abs(cropped[..., 0] / 3.0 - columns).max() <= step
        assert np.abs(cropped[..., 1] / 3.0 - rows).max() <= step


def test_annotations_only_hold_values_that_were_there():
    labels = np.random.default_rng(0).choice(np.array([0, 7, 255], np.uint8), (50, 50))
    depth = np.where(labels == 0, 0, labels / 50).astype(np.float32)
    transform = joint_transform(32, scale=(0.1, 1.0))
    image = np.zeros((50, 50, 3), np.uint8)
    for position in range(30):
        out = transform(image, labels, position)[1]
        assert out.dtype == np.uint8 and set(np.unique(out)) <= {0, 7, 255}
        metres = transform(image, depth, position)[1]
        assert metres.dtype == np.float32 and set(np.unique(metres)) <= set(np.unique(depth))
        assert np.array_equal(metres == 0, out == 0)  # the same draw for labels and depth of one position


def test_draws_depend_on_seed_and_position_and_not_on_what_was_drawn_before():
    image, annotation = ramp()
    transform = joint_transform(24, seed=1)
    forwards = [transform(image, annotation, p)[1] for p in range(12)]
    backwards = [joint_transform(24, seed=1)(image, annotation, p)[1] for p in reversed(range(12))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert len({a.tobytes() for a in forwards}) == 12
    assert not np.array_equal(forwards[3], joint_transform(24, seed=2)(image, annotation, 3)[1])


def test_flips_are_half_of_the_draws_and_independent_of_the_crop():
    image, annotation = ramp()
    transform = joint_transform(20, scale=(0.3, 0.9))
    out = [transform(image, annotation, p)[1] % 1000 for p in range(400)]
    flipped = np.array([columns[0, 0] > columns[0, -1] for columns in out])
    left = np.array([columns.min() for columns in out])
    assert 0.42 < flipped.mean() < 0.58
    assert abs(np.corrcoef(flipped, left)[0, 1]) < 0.15  # three standard errors
    never = joint_transform(20, flip=False)
    assert all((np.diff(never(image, annotation, p)[1] % 1000, axis=1) >= 0).all() for p in range(20))


def test_without_scale_every_draw_is_the_resized_middle():
    image, annotation = ramp()
    transform = joint_transform(30, flip=False, scale=None)
    a, b = transform(image, annotation, 0)[1], transform(image, annotation, 9)[1]
    assert np.array_equal(a, b)
    assert (a % 1000).min() == pytest.approx(10, abs=1) and (a % 1000).max() == pytest.approx(69, abs=2)


def test_colour_transforms_change_the_image_alone():
    image, annotation = ramp()
    settings = dict(flip=False, scale=None)
    plain = joint_transform(30, **settings)(image, annotation, 0)
    inverted = joint_transform(30, colour=[dict(type=A.InvertImg, p=1.0)], **settings)(image, annotation, 0)
    assert np.array_equal(inverted[0], 255 - plain[0])
    assert np.array_equal(inverted[1], plain[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(colour=[dict(type=A.ColorJitter, brightnes=1)]), "ColorJitter: .*brightnes"),
        (dict(colour=[dict(type=A.ColorJitter, brightness=-3)]), "ColorJitter: .*non negative"),
        (dict(colour=[dict(type=A.Rotate, limit=5)]), "Rotate moves pixels"),
        (dict(size=0), "size 0: expected at least 1 pixel"),
        (dict(scale=(0.5, 2.0)), "shares of the image's area"),
        (dict(scale=(0.5, 0.2)), "0 < low <= high"),
        (dict(ratio=(2, 1)), "ratio"),
    ],
)
def test_what_albumentations_would_only_warn_of_is_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        joint_transform(**dict(size=16) | settings)


def test_a_ready_made_transform_with_an_unknown_argument_is_refused():
    with pytest.warns(UserWarning):
        blur = A.Blur(blur_limt=3)
    with pytest.raises(ValueError, match="Blur: unknown arguments blur_limt"):
        joint_transform(16, colour=[blur])
