"""A small ViT for 64-px scenes: width 96, 4 blocks, patch 8."""

from torch.optim import AdamW

from vssl.learner import TimmBackbone

backbone = dict(
    type=TimmBackbone,
    name="vit_tiny_patch16_224",
    img_size=64,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=3,
    aligned_blocks=2,  # K; the paper takes 2 to 4
)
optimizer = dict(type=AdamW, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.04)
schedule = dict(warmup_share=0.05, final_ratio=0.01)
clip_grad = 1.0
batch_size = 64
