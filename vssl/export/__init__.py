"""Backbones for others: a timm file, a Hugging Face folder, a torch.hub folder, an ONNX file (docs/checkpoints.md)."""
