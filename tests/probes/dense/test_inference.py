import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch.nn import functional as F

from vssl.probes.dense.heads import LinearDepthHead, LinearSegHead
from vssl.probes.dense.inference import DepthSegmentor, Segmentor, inference_settings

SHAPE = (12, 20)
META = dict(ori_shape=SHAPE, img_shape=SHAPE, pad_shape=(99, 99))


class Cells(BaseModule):
    """Stands in for a backbone: the image's own pixels, averaged over cells of 2 px, and their column."""

    def forward(self, images):
        cells = F.avg_pool2d(images, 2)
        columns = torch.linspace(0, 1, cells.shape[3]).expand_as(cells[:, :1])  # so that a flip changes something
        return (torch.cat([cells, columns], 1),)


def model(kind, **inference):
    head = dict(type=LinearSegHead, num_classes=5) if kind is Segmentor else dict(type=LinearDepthHead)
    torch.manual_seed(0)
    found = kind(
        backbone=dict(type=Cells),
        decode_head=dict(in_channels=4, init_std=1.0, **head),
        test_cfg=ConfigDict(inference_settings(inference)),
    )
    return found.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, *SHAPE, generator=torch.Generator().manual_seed(0))


def predict(model, images):
    with torch.no_grad():
        return model.inference(images, [dict(META) for _ in images])


def whole(model, images):
    """The output for an image as it is, at its own size."""
    with torch.no_grad():
        output = model.decode_head.forward(model.extract_feat(images))
    return F.interpolate(output, images.shape[2:], mode="bilinear")


@pytest.mark.parametrize("kind", [Segmentor, DepthSegmentor])
def test_one_look_at_the_whole_image_is_the_heads_output_enlarged(kind, images):
    torch.testing.assert_close(predict(model(kind), images), whole(model(kind), images))


@pytest.mark.parametrize("kind", [Segmentor, DepthSegmentor])
def test_windows_average_outputs_where_they_overlap(kind, images):
    slid = predict(model(kind, mode="slide", crop_size=(12, 12), stride=(12, 6)), images)
    total, count = torch.zeros_like(slid), torch.zeros_like(slid)
    for left in (0, 6, 8):  # the last window is moved back inside
        window = slice(left, left + 12)
        total[..., window] += whole(model(kind), images[..., window])
        count[..., window] += 1
    torch.testing.assert_close(slid, total / count)


def test_a_flip_averages_metres_and_makes_the_prediction_symmetric(images):
    flipping = model(DepthSegmentor, flip=True)
    depth = predict(flipping, images)
    both = whole(flipping, images), whole(flipping, images.flip(3)).flip(3)
    assert not torch.allclose(*both)
    torch.testing.assert_close(depth, sum(both) / 2)
    torch.testing.assert_close(predict(flipping, images.flip(3)), depth.flip(3))


def test_scales_and_flips_average_probabilities_at_the_images_size(images):
    several = model(Segmentor, scales=[1.0, 1.5], flip=True)
    expected = 0
    for size in (SHAPE, (18, 30)):
        for flip in (False, True):
            look = F.interpolate(images.flip(3) if flip else images, size, mode="bilinear")
            output = F.interpolate(whole(several, look), SHAPE, mode="bilinear")
            expected = expected + (output.flip(3) if flip else output).softmax(1) / 4
    torch.testing.assert_close(predict(several, images), expected)


def test_the_metas_of_a_batch_are_left_as_they_are(images):
    metas = [dict(META) for _ in images]
    with torch.no_grad():  # mmseg's slide inference writes the window's size into the first image's meta
        model(Segmentor, mode="slide", crop_size=(12, 12), stride=(12, 6)).inference(images, metas)
    assert metas == [META, META]


def test_mmsegs_own_depth_estimator_throws_its_windows_away(images):
    from mmseg.models.segmentors import DepthEstimator

    sliding = model(DepthSegmentor, mode="slide", crop_size=(12, 12), stride=(12, 6))
    with torch.no_grad():
        theirs = DepthEstimator.inference(sliding, images, [dict(META) for _ in images])
        output = sliding.decode_head.forward(sliding.extract_feat(images))
    # the whole image, moreover squeezed into the size of the last window; once this fails, mmseg's can be used again
    torch.testing.assert_close(theirs, F.interpolate(output, (12, 12), mode="bilinear"))
    assert predict(sliding, images).shape[2:] == SHAPE


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(mode="tiles"), "mode='tiles'"),
        (dict(mode="slide", crop_size=(8, 8)), "takes .*stride"),
        (dict(mode="whole", crop_size=(8, 8)), "takes"),
        (dict(mode="slide", crop_size=(8, 8), stride=(8, 9)), r"stride=\(8, 9\).*gaps"),
        (dict(scales=[0.0]), "scales"),
        (dict(scales=[]), "scales"),
    ],
)
def test_settings_that_cannot_be(config, message):
    with pytest.raises(ValueError, match=message):
        inference_settings(config)
