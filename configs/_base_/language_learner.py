"""A small decoder of Qwen's architecture, and AdamW for continued pretraining."""

from torch.optim import AdamW

from vssl.designers import Identity
from vssl.language import CausalLM, NextToken, NextTokens

# --- science ---
backbone = dict(
    type=CausalLM,
    architecture=dict(
        model_type="qwen2",
        vocab_size=160,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    ),
    checkpoint=None,
    aligned_blocks=1,
)
objective = dict(type=NextToken)
recipe = dict(type=NextTokens)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=2e-3, weight_decay=0.05)
schedule = dict(warmup_share=0.05, final_ratio=0.1)
batch_size = 16
clip_grad = 1.0

# --- efficiency ---
threads = 1
log_interval = 20
checkpoint_interval = 500
precision = "fp32"
num_workers = 0
