"""Revisited Paris, as roxford5k.py.

Command:  python tools/probe.py configs/probes/retrieval/rparis6k.py --model vit_large_patch16_dinov3
Data:     images and gnd_rparis6k.mat, data/README.md
Expected: paper, DINOv3 ViT-L, mAP E/M/H (baseline → V-Pretraining): .5433/.6332/.2208 → .5973/.7005/.2509
          (as printed: easy below medium); not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .roxford5k import *

probes = dict(rparis6k=probes.roxford5k)
probes["rparis6k"].dataset.root = "data/rparis6k"
