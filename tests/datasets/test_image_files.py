import numpy as np
import pytest
from PIL import Image

from vssl.data_folders import next_step
from vssl.datasets import UnlabeledImages, files
from vssl.datasets.files import UnreadableImage, image_paths, read_image


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("data/scenes/imagenet/train", "prepare_data.py scenes --out data/scenes,"),
        ("data/benchmark/ade20k", "prepare_data.py scenes --seed 2 --out data/benchmark,"),
        ("/elsewhere/imagenet/train", "prepare_data.py imagenet --source … --out /elsewhere/imagenet,"),
        ("somewhere", "prepare_data.py --help,"),
    ],
)
def test_the_next_step_makes_the_folder_that_is_missing(folder, command):
    assert command in next_step(folder)


GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_grey_is_scaled_by_its_range(tmp_path, name):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / name)
    assert (read_image(tmp_path / name) == GREY[:, :, None]).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "LA", "1"])
def test_eight_bits_in_any_colours_are_rgb(tmp_path, mode):
    image = Image.fromarray((GREY > 100).astype(np.uint8) * 255).convert("RGB").convert(mode)
    image.save(tmp_path / "a.tif")
    assert (read_image(tmp_path / "a.tif") == ((GREY > 100) * 255)[:, :, None]).all()


@pytest.mark.parametrize("pixels", [GREY.astype(np.float32) / 255, GREY.astype(np.int32) * 1000])
def test_pixels_without_a_known_white_are_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match=r"a\.tif: pixels of mode [FI]\b.*8 or 16 bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(("orientation", "upright"), [(1, GREY), (3, GREY[::-1, ::-1]), (6, GREY.T[:, ::-1])])
@pytest.mark.parametrize("size", [None, 6])
def test_a_phones_orientation_is_applied(tmp_path, orientation, upright, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(np.ascontiguousarray(upright)).save(tmp_path / "upright.png")
    assert (read_image(tmp_path / "a.png", size) == read_image(tmp_path / "upright.png", size)).all()


def test_an_image_above_the_limit_names_the_way_to_read_it(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for limit in (40, 10):  # Pillow warns above its limit and raises above twice that
        monkeypatch.setattr(files.Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnreadableImage, match=r"a\.png: Image size \(48 pixels\).*VSSL_MAX_PIXELS"):
            read_image(tmp_path / "a.png")


def folder_of(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(root / name, format="PNG")


def test_every_extension_counts_in_small_and_capital_letters(tmp_path, recwarn):
    folder_of(
        tmp_path, "a.jpg", "b.JPEG", "c.JPG", "d/e.Png", "f.tif", ".hidden.jpg", ".ipynb_checkpoints/a.jpg", "._a.jpg"
    )
    (tmp_path / "dataset.json").write_text("{}")
    assert list(image_paths(tmp_path)) == ["a.jpg", "b.JPEG", "c.JPG", "f.tif", "d/e.Png"]
    assert not recwarn


def test_what_is_left_out_is_counted(tmp_path):
    folder_of(tmp_path, "a.jpg", "b/c.jpg", "d.heic", "e.HEIC", "f.gif")
    (tmp_path / "b/loop").symlink_to("..")
    (tmp_path / "nowhere.jpg").symlink_to("missing.jpg")
    (tmp_path / "again").symlink_to("b")  # twice the same images is what somebody may want
    with pytest.warns(UserWarning) as said:
        assert list(image_paths(tmp_path)) == ["a.jpg", "again/c.jpg", "b/c.jpg"]
    for part in (".heic (2)", ".gif (1)", "links back to a folder above (2)", "links that lead nowhere (1)"):
        assert part in str(said[0].message)
    assert len(said) == 1


def test_a_labeled_set_given_as_unlabeled_is_refused_with_counts(tmp_path):
    folder_of(tmp_path, "images/a.jpg", "images/b.jpg", "annotations/a.png")
    with pytest.raises(ValueError, match=r"1 of its 3 images are below annotations/.*\. Give .*images, or rename"):
        UnlabeledImages(tmp_path, 8)
    assert len(UnlabeledImages(tmp_path / "images", 8)) == 2
