"""Shared by the tests of the language half: a small decoder, and word problems on disk."""

import pytest

ARCHITECTURE = dict(
    model_type="qwen2",
    vocab_size=140,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    tie_word_embeddings=True,
)

CONFIG = """
from torch.optim import AdamW
from vssl.datasets.text import Answers, TokenWindows
from vssl.language import AnswerFeedback, AnswerLoss, AnswerPool, CausalLM, NextToken, NextTokens, SoftTargets
from vssl.value import Cosine, UnitNorm, central_difference

backbone = dict(type=CausalLM, architecture={architecture!r}, checkpoint=None, aligned_blocks=2)
objective = dict(type=NextToken)
recipe = dict(type=NextTokens)
designer = dict(type=SoftTargets, dim=32, candidates=4)
optimizer = dict(type=AdamW, lr=1e-3, weight_decay=0.05)
schedule = dict(warmup_share=0.2, final_ratio=0.1)
clip_grad = 1.0
unlabeled = dict(type=TokenWindows, root="{root}/stream.jsonl", tokenizer="{root}", length=24)
batch_size = 4
feedback = dict(
    type=AnswerFeedback,
    tasks=dict(answers=dict(type=AnswerLoss)),
    pools=dict(
        answers=dict(
            type=AnswerPool, dataset=dict(type=Answers, root="{root}/train.jsonl", tokenizer="{root}"), meta=20,
            meta_batch_size=5,
        )
    ),
)
value = dict(
    rule=dict(type=Cosine), combine=dict(type=UnitNorm, weights=dict(answers=1.0)),
    estimator=dict(type=central_difference), period=2, batch_size=4,
)
designer_optimizer = dict(type=AdamW, lr=0.01, weight_decay=0.0)
budget = dict(steps=6)
log_interval = 3
"""


@pytest.fixture
def model():
    """Qwen2 of width 32 and depth 3, K = 2, with biases and norms that are not those of a fresh model."""
    pytest.importorskip("transformers")
    import torch

    from vssl.language.causal_lm import CausalLM

    model = CausalLM(architecture=ARCHITECTURE, aligned_blocks=2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model


@pytest.fixture(scope="session")
def problems(tmp_path_factory):
    """A folder of tools/prepare_data.py word_problems."""
    pytest.importorskip("tokenizers")
    from vssl.datasets.text import Difficulty, write_word_problems

    out = tmp_path_factory.mktemp("language") / "problems"
    write_word_problems(out, Difficulty(largest=9, steps=1), documents=200, train=40, test=12)
    return out


@pytest.fixture
def config(problems, tmp_path):
    """A designed run on them: six steps, a meta step every second one."""
    from vssl.engine import load_config

    (tmp_path / "language.py").write_text(CONFIG.format(root=problems, architecture=ARCHITECTURE))
    return load_config(tmp_path / "language.py")
