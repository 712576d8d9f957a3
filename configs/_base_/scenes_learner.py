"""A small ViT for scenes at 32 px: width 64, 4 blocks, patch 4."""

from torch.optim import AdamW

from vssl.learner import TimmBackbone

backbone = dict(
    type=TimmBackbone,
    name="vit_tiny_patch16_224",
    img_size=32,
    patch_size=4,
    embed_dim=64,
    depth=4,
    num_heads=2,
    mlp_ratio=2.0,
    aligned_blocks=4,  # K; the paper takes 2 to 4
)
optimizer = dict(type=AdamW, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.04)
schedule = dict(warmup_share=0.05, final_ratio=0.01, head_share=0.0)
clip_grad = 1.0
batch_size = 48
