import base64
import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from vssl.reports import collect
from vssl.reports.markup import environment, image
from vssl.reports.pictures import class_colours, paint, predictions, read_arrays, sample_views, scale_colours

_PICTURES = environment().get_template("pictures.html").module


def views_section(results, work_dir):
    return str(_PICTURES.views_of(sample_views(results, work_dir)))


def predictions_section(results, work_dir):
    return str(_PICTURES.predictions_of(predictions(results, work_dir)))


def decode(tag):
    data = re.search(r"base64,([^\"]+)", tag).group(1)
    return (255 * imread(io.BytesIO(base64.b64decode(data)))[..., :3]).round().astype(np.uint8)


def test_an_image_survives_the_way_into_the_page():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(image(pixels, "x")), pixels)


def test_large_images_are_thinned_out_to_256_pixels():
    assert decode(image(np.zeros((480, 640, 3), np.uint8), "x")).shape == (160, 214, 3)


def test_class_colours_differ_and_ignored_pixels_are_grey():
    palette = class_colours(30)
    assert len({tuple(colour) for colour in palette.tolist()}) == 30
    painted = paint(np.array([[0, 29], [255, 1]]), palette)
    np.testing.assert_array_equal(painted[0, 1], palette[29])
    np.testing.assert_array_equal(painted[1, 0], [225, 225, 225])


def test_scale_ends_are_clamped_and_unmeasured_is_grey():
    colours = scale_colours(np.array([[1.0, 3.0], [0.0, 99.0]]), low=1.0, high=3.0)
    np.testing.assert_array_equal(colours[0, 1], colours[1, 1])
    assert tuple(colours[1, 0]) == (225, 225, 225) and tuple(colours[0, 0]) != tuple(colours[0, 1])


def test_predictions_stand_beside_each_other_with_legend_and_scale(folder, layout):
    html = predictions_section(collect(folder, layout), folder)
    # two tables of three rows: image, label, start checkpoint and four arms
    assert html.count("<img") == 2 * 3 * 7
    assert [html.count(f"</i>{name}</span>") for name in ("wall", "sphere", "lamp", "no label")] == [1, 1, 1, 1]
    assert "1.00 m" in html and "3.94 m" in html


def test_a_kind_of_prediction_that_nobody_knows_is_drawn_with_its_own_title_and_unit(folder, layout):
    for path in folder.glob("*/*/probes/predictions.npz"):
        arrays = read_arrays(path)
        path.unlink()
        flow = {"flow_label": arrays["depth_label"], "flow_pred": arrays["depth_pred"]}
        np.savez(path, image=arrays["image"], **flow, flow_title="Flow <speed>", flow_unit="px")
    html = predictions_section(collect(folder, layout), folder)
    assert "<h3>Flow &lt;speed&gt;</h3>" in html and "1.00 px" in html and "3.94 px" in html
    assert html.count("<img") == 3 * 7 and "Segmentation" not in html and "Depth" not in html


def test_an_arm_probed_on_other_images_is_not_shown_beside_the_others(folder, layout):
    path = folder / "vpretraining" / "seed0" / "probes" / "predictions.npz"
    arrays = read_arrays(path)
    np.savez(path, **{**arrays, "image": arrays["image"][::-1, ::-1]})
    html = predictions_section(collect(folder, layout), folder)
    assert html.count("V-Pretraining was probed on other images") == 1


def test_masks_are_shown_with_their_statistics(folder, layout):
    html = views_section(collect(folder, layout), folder)
    assert html.count('alt="designed view"') == 2 * 8  # two arms with a mask, 4 samples × 2 views
    assert "range 0.15 to 0.85" in html and "step 200" in html
    assert html.count("The recipe&#39;s views as they are, no mask") == 2


def test_missing_pictures_are_a_line_and_broken_ones_an_error(folder, layout):
    results = collect(folder, layout)
    for path in [*folder.glob("*/*/views.npz"), *folder.glob("*/*/probes/predictions.npz")]:
        path.unlink()
    assert views_section(results, folder).count("No sample views") == 4
    assert "No predictions" in predictions_section(results, folder)
    broken = folder / "fixed" / "seed0" / "views.npz"
    broken.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"fixed/seed0/views\.npz is not a readable npz file"):
        views_section(results, folder)
    np.savez(broken, base=np.zeros(1))
    with pytest.raises(ValueError, match=r"views\.npz has no designed"):
        views_section(results, folder)
