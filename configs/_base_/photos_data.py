"""The stream of photographs: Tiny ImageNet and NYUv2's training images, 64 px. docs/photos.md prepares data/photos."""

from vssl.datasets import UnlabeledImages

unlabeled = dict(type=UnlabeledImages, root="data/photos/stream", size=64)
