"""Continued DINO pretraining of a released DINOv3 checkpoint on ImageNet-1k: what every paper row shares.

Stated by the paper: 2 global crops of 224 px and 6 local ones of 96, colour jitter, grayscale, blur, solarize; head
output 8192, temperatures 0.1 and 0.04, centre momentum 0.9, teacher momentum from 0.996; AdamW, weight decay 0.04,
clip 1.0, 1k warm-up, 20k steps, bf16. Unstated, ours: the strengths of the augmentations (DINO's), AdamW's β, the decay
after the warm-up (cosine to 0.01 of the peak), and that images are read at 256 px before they are cropped.

Any row runs small, without the released weights, with one override of the backbone and nothing else:

    --cfg-options backbone.pretrained=False backbone.embed_dim=48 backbone.depth=4 backbone.num_heads=2
"""

from torch.optim import AdamW

from vssl.datasets import UnlabeledImages
from vssl.designers import Identity
from vssl.learner import TimmBackbone
from vssl.objectives import DINO
from vssl.views import MultiCrop

# --- science ----------------------------------------------------------------------------------------------------------
backbone = dict(type=TimmBackbone, name="vit_base_patch16_dinov3", pretrained=True, aligned_blocks=2)
objective = dict(
    type=DINO,
    n_local_crops=6,
    out_dim=8192,
    student_temperature=0.1,
    teacher_temperature=0.04,
    center_momentum=0.9,
    teacher_momentum_start=0.996,
)
recipe = dict(
    type=MultiCrop,
    global_size=224,
    local_size=96,
    n_global=2,
    n_local=6,
    global_scale=(0.32, 1.0),
    local_scale=(0.05, 0.32),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 2.0), p=(1.0, 0.1, 0.5)),
    solarize=dict(threshold=0.5, p=(0.0, 0.2, 0.0)),
)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=1e-5, weight_decay=0.04)
schedule = dict(warmup_share=0.05, final_ratio=0.01)
clip_grad = 1.0
budget = dict(steps=20_000)

# --- data -------------------------------------------------------------------------------------------------------------
unlabeled = dict(type=UnlabeledImages, root="data/imagenet/train", size=256)

# --- efficiency: batch_size is per rank -------------------------------------------------------------------------------
precision = "bf16"
num_workers = 8
log_interval = 50
checkpoint_interval = 1000
rankme_interval = 1000
