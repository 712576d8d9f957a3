"""Probes of a label for every pixel: segmentation and depth, through mmsegmentation."""
