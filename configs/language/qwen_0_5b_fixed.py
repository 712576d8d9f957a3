"""Qwen1.5 0.5B, continued next-token prediction on mathematics text: the paper's baseline (arXiv 2601.22108).

Command:  python tools/train.py configs/language/qwen_0_5b_fixed.py
          python tools/probe.py configs/probes/gsm8k.py --backbone RUN
Data:     configs/_base_/qwen.py
Memory:   not measured. 16 bytes a weight for fp32 and AdamW: 7 GB before activations
Expected: paper: 19.15 ± 1.16 % pass@1 on GSM8K's test set; not run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.qwen import *

backbone.update(folder="data/qwen1.5-0.5b")
unlabeled.update(tokenizer="data/qwen1.5-0.5b")
