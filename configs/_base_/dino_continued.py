"""Continued DINO pretraining of a released DINOv3 checkpoint on ImageNet-1k: what every paper row shares.

Stated by the paper: 2 global crops of 224 px and 6 local ones of 96, colour jitter, grayscale, blur, solarize; head
output 8192, temperatures 0.1 and 0.04, centre momentum 0.9, teacher momentum from 0.996; AdamW, weight decay 0.04,
clip 1.0, 1k warm-up, 20k steps, bf16.

Unstated, as DINO's code (github.com/facebookresearch/dino, main_dino.py): strengths and probabilities of the
augmentations, bicubic crops, windows that do not fit drawn again, AdamW's β, weight decay on tokens and position
embeddings but not on biases and norms, and a last layer of the fresh head that stays for the first epoch: 1251 steps,
ImageNet-1k at DINO's batch of 1024.

Ours, and why:
- crops of 0.32 to 1 and 0.05 to 0.32 of the area, DINOv2's and DINOv3's; DINO's are 0.4 to 1 and 0.05 to 0.4
- the short side of an image is resized to 256 px and its middle kept before views are cropped from it: batches of one
  size, whose views are made on the device
- one clip over the norm of the whole gradient, without the frozen last layer; DINO clips each parameter by itself, so
  that it does not matter there that it cancels the last layer afterwards
- weight decay stays at 0.04 as the paper states one number; DINO raises it to 0.4
- the learning rate ends at 0.01 of the peak, as the peaks of the rows differ by 23 times; DINO's ends at 1e-6
- no drop path (DINO: 0.1): the meta-gradient compares passes of one and the same student

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
    freeze_last_layer_steps=1251,
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
    interpolation="bicubic",
    redraw=True,
)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=1e-5, weight_decay=0.04)
decay_tokens = True
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
