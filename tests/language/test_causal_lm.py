"""A causal language model in two halves: the same logits, the same gradients, and back from its file."""

import copy
import re
import sys

import pytest
import torch
from torch.func import functional_call

pytest.importorskip("transformers")

from vssl.language.causal_lm import CausalLM, load_causal_lm

from .conftest import ARCHITECTURE

SMALL = dict(vocab_size=50, num_hidden_layers=3, hidden_size=32, num_attention_heads=4, max_position_embeddings=64)
FAMILIES = {
    "qwen2": dict(**SMALL, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=False),
    "llama": dict(**SMALL, intermediate_size=48),
    "qwen3": dict(**SMALL, intermediate_size=48, head_dim=8, num_key_value_heads=2),
    "gpt2": dict(vocab_size=50, n_layer=3, n_embd=32, n_head=4, n_positions=64),
    # a window of 4 tokens in every other block: masks differ from block to block
    "gemma2": dict(
        **SMALL, intermediate_size=48, head_dim=8, num_key_value_heads=2, sliding_window=4, final_logit_softcapping=None
    ),
}


def ids(vocabulary=50, batch=3, length=11):
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("blocks", [1, 3])
def test_trunk_and_tail_give_the_models_own_logits(kind, blocks):
    model = CausalLM(architecture={"model_type": kind, **FAMILIES[kind]}, aligned_blocks=blocks).eval()
    own = model.lm(input_ids=ids()).logits
    assert torch.equal(model.logits(model.tail(model.trunk(ids()))), own)


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_of_the_tail_are_those_of_the_model(kind):
    model = CausalLM(architecture={"model_type": kind, **FAMILIES[kind]}, aligned_blocks=2).eval()
    parameters = list(model.aligned_parameters().values())
    target = ids().roll(-1, 1).flatten()
    own = torch.nn.functional.cross_entropy(model.lm(input_ids=ids()).logits.flatten(0, 1), target)
    expected = torch.autograd.grad(own, parameters)
    with torch.no_grad():
        context = model.trunk(ids())
    ours = torch.nn.functional.cross_entropy(model.logits(model.tail(context)).flatten(0, 1), target)
    for name, a, b in zip(model.aligned_parameters(), torch.autograd.grad(ours, parameters), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


def test_only_the_tail_depends_on_s_and_it_takes_weights_from_outside(model):
    names = model.aligned_parameters()
    assert {name.split(".")[3] for name in names if ".layers." in name} == {"1", "2"}
    assert "lm.model.norm.weight" in names and not any("embed" in name for name in names)
    other = {name: p + 0.1 for name, p in names.items()}
    context, before = model.trunk(ids()), copy.deepcopy(model.state_dict())
    moved = functional_call(_Tail(model), {f"model.{n}": p for n, p in other.items()}, (context,))
    assert not torch.allclose(moved, model.tail(context), atol=1e-3)
    assert all(torch.equal(before[n], p) for n, p in model.state_dict().items())
    with torch.no_grad():
        for name, p in names.items():
            p.copy_(other[name])
    assert torch.equal(model.trunk(ids()).x, context.x)
    torch.testing.assert_close(model.tail(context), moved)


class _Tail(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, tokens):
        return self.model.tail(tokens)


def test_a_run_s_file_gives_the_same_model(model, tmp_path):
    file = tmp_path / "backbone.safetensors"
    model.export(file, {"steps": 3})
    for back in (load_causal_lm(file), CausalLM(architecture=ARCHITECTURE, checkpoint=str(file))):
        assert torch.equal(back(ids()), model(ids()))
        assert back.lm.get_output_embeddings().weight is back.lm.get_input_embeddings().weight
    again = tmp_path / "again.safetensors"
    load_causal_lm(file).export(again, {"steps": 3})
    assert file.read_bytes() == again.read_bytes()


def test_a_folder_of_hugging_face_is_read_without_network(model, tmp_path):
    model.lm.save_pretrained(tmp_path / "model")
    back = CausalLM(folder=str(tmp_path / "model"))
    assert torch.equal(back(ids()), model(ids()))


def test_what_cannot_be_used_is_named(model, tmp_path):
    def fails(said, kind=ValueError, **settings):
        with pytest.raises(kind, match=re.escape(said)):
            CausalLM(**settings)

    fails("give a folder, an architecture or a checkpoint")
    fails("not both", folder="x", architecture={})
    fails("no config.json there", FileNotFoundError, folder=str(tmp_path))
    fails("does not exist", FileNotFoundError, checkpoint=str(tmp_path / "none.safetensors"))
    fails("aligned_blocks=4 (K) must be in 1..3", architecture=ARCHITECTURE, aligned_blocks=4)
    fails("cannot be built", architecture={"model_type": "nonesuch"})
    model.export(tmp_path / "b.safetensors")
    wider = {**ARCHITECTURE, "hidden_size": 48}
    fails("is of another architecture", architecture=wider, checkpoint=str(tmp_path / "b.safetensors"))
    # Gemma caps its logits after the output layer
    capped = {"model_type": "gemma2", **FAMILIES["gemma2"], "final_logit_softcapping": 0.01}
    fails("cannot be split", architecture=capped)
    with pytest.raises(ValueError, match=r"the tokenizer is another model's"):
        model.trunk(ids(vocabulary=10_000))


def test_without_transformers_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"^CausalLM needs transformers: python -m pip install 'vssl\[language\]'$"):
        CausalLM(architecture=ARCHITECTURE)
