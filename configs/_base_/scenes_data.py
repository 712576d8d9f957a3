"""Rendered scenes in the three real layouts. tools/prepare_data.py scenes --out data/scenes"""

from vssl.datasets import UnlabeledImages

unlabeled = dict(type=UnlabeledImages, root="data/scenes/imagenet/train", size=48)
