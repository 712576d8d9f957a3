"""Qwen1.5 7B with soft targets steered by GSM8K's answers: the paper's row (arXiv 2601.22108).

Command:  python tools/train.py configs/language/qwen_7b.py
          python tools/probe.py configs/probes/gsm8k.py --backbone RUN
Data:     configs/_base_/qwen.py
Memory:   not measured. 16 bytes a weight for fp32 and AdamW: 124 GB, more than one GPU of 80 GB has
Expected: paper: 66.17 ± 0.63 % pass@1 on GSM8K's test set; not run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.qwen_feedback import *
    from .qwen_7b_fixed import *

from vssl.language import SoftTargets

designer = dict(type=SoftTargets, dim=4096, candidates=16, hidden_dim=256)
feedback.pools.gsm8k.dataset.update(tokenizer="data/qwen1.5-7b")
