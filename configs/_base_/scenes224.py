"""ViT-S/16 on rendered scenes at 224 px, for one GPU: what every training config of configs/scenes224 shares.

Not run: no GPU at hand. Nothing here was tuned; learner settings are MoCo v3's for ViTs, K, period and meta batch those
of the paper's ViT-B row for ADE20K. Any config runs small on a CPU with one override:

    --cfg-options backbone.embed_dim=48 backbone.depth=4 backbone.num_heads=2 compile.backend=aot_eager num_workers=0
"""

from mmengine.config import read_base

with read_base():
    from .runtime import *
    from .scenes_learner import clip_grad, schedule

from torch.optim import AdamW

from vssl.datasets import UnlabeledImages
from vssl.learner import TimmBackbone

# --- science ----------------------------------------------------------------------------------------------------------
backbone = dict(type=TimmBackbone, name="vit_small_patch16_224", aligned_blocks=2)
# arXiv 2104.02057: AdamW, base learning rate 1.5e-4 at batch 256, weight decay 0.1
optimizer = dict(type=AdamW, lr=1.5e-4, weight_decay=0.1)
batch_size = 256

# --- data -------------------------------------------------------------------------------------------------------------
unlabeled = dict(type=UnlabeledImages, root="data/scenes224/imagenet/train", size=224)

# --- efficiency -------------------------------------------------------------------------------------------------------
precision = "bf16"
compile = dict(backend="inductor")
num_workers = 8
checkpoint_interval = 500
rankme_interval = 100
