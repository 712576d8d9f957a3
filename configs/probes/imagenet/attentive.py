"""ImageNet-1k through an attentive probe, as V-JEPA judges images.

Command:  python tools/probe.py configs/probes/imagenet/attentive.py --model vit_large_patch16_dinov3
Data:     ImageNet-1k, data/README.md
Expected: not yet measured
Source:   github.com/facebookresearch/jepa, configs/evals/vitl16_in1k.yaml and src/models/attentive_pooler.py: AdamW
          1e-3, weight decay 1e-3, clip 1, cosine to 0 without warm-up, 20 epochs of batches of 16 on each of 64 GPUs
Ours:     - weight decay is constant and takes biases and norms too; V-JEPA's leaves them out and falls to 1e-6
          - random resized crops and flips as in dinov2.py; V-JEPA has AutoAugment and random erasing as well
          - 1 % of train is held out; with one learning rate nothing is chosen on it
"""

from mmengine.config import read_base
from torch.optim import AdamW

with read_base():
    from ..._base_.imagenet_probe import *

from vssl.probes.image.attentive import AttentiveProbe

batch, epochs = 1024, 20
probes = dict(
    attentive=dict(
        type=AttentiveProbe,
        **folders,
        **view,
        **reading,
        learning_rates=[1e-3],
        schedule=dict(
            optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-3),
            steps=epochs * 1_281_167 // batch,
            batch_size=batch,
            clip_norm=1.0,
        ),
        holdout=0.01,
    )
)
