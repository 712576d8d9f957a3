"""Pipeline steps that mmseg lacks."""

from mmcv.transforms import BaseTransform


class NYUCrop(BaseTransform):
    """Cut off the white frame of NYUv2's images: columns 43..608, rows 45..472 of 640×480, scaled with the image.

    The box of AdaBins' code, which the depth probes of DINOv2 and DINOv3 train on. Crops the image and every label.
    """

    left, top, right, bottom = 43 / 640, 45 / 480, 608 / 640, 472 / 480

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        for key in ("img", *results.get("seg_fields", [])):
            results[key] = results[key][rows, columns]
        results["img_shape"] = results["img"].shape[:2]
        return results
