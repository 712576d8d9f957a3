"""Continued pretraining of Qwen1.5 on mathematics text, with feedback from GSM8K: what the paper's three rows share.

From the paper (arXiv 2601.22108): the models, next-token prediction on mathematics text, feedback from 12 % of GSM8K's
training problems (897 of 7473), pass@1 on GSM8K's test set. Everything else here is this project's choice.

Data: data/qwen1.5-0.5b and so on: the folder of the model on Hugging Face (config.json, *.safetensors, tokenizer.json)
      data/math: .jsonl files with the key "text"
      data/gsm8k: train.jsonl and test.jsonl of https://github.com/openai/grade-school-math
"""

from torch.optim import AdamW

from vssl.datasets.text import TokenWindows
from vssl.designers import Identity
from vssl.language import CausalLM, NextToken, NextTokens

# --- science ---
backbone = dict(type=CausalLM, folder="data/qwen1.5-0.5b", checkpoint=None, aligned_blocks=2)
objective = dict(type=NextToken)
recipe = dict(type=NextTokens)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=1e-5, weight_decay=0.1)
schedule = dict(warmup_share=0.03, final_ratio=0.1)
batch_size = 8
clip_grad = 1.0
budget = dict(steps=2000)

# --- data ---
unlabeled = dict(type=TokenWindows, root="data/math", tokenizer="data/qwen1.5-0.5b", length=512)

# --- efficiency ---
log_interval = 10
checkpoint_interval = 500
precision = "bf16"
num_workers = 0
