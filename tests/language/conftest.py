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
