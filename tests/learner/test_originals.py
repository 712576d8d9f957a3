"""Files as the authors of other methods write them, in miniature: their names and shapes, with weights of a timm ViT.

The names of DINOv2, DINOv3, I-JEPA and iBOT were read in the released code, those of MAE in a copy of it, those of DINO
and lightly were not looked up again.
"""

import argparse
import re

import pytest
import torch
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from vssl.learner import TimmBackbone
from vssl.learner.networks import choose_network, read_tensors
from vssl.learner.weights import load_weights

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "aligned_blocks": 1}
MODELS = {
    "vit": ("vit_small_patch16_224", {}),
    "layer scale": ("vit_small_patch14_dinov2", {}),
    "registers": ("vit_small_patch14_reg4_dinov2", {}),
    "swiglu": ("vit_giant_patch14_dinov2", {}),
    "dinov3": ("vit_small_patch16_dinov3", {}),
    "dinov3 qkv bias": ("vit_small_patch16_dinov3_qkvb", {}),
    "dinov3 swiglu": ("vit_huge_plus_patch16_dinov3", {"swiglu_align_to": 8}),
    "no class token": ("vit_huge_patch14_gap_224", {}),
    "clip": ("vit_base_patch16_clip_224", {}),
    "siglip": ("vit_base_patch16_siglip_224", {}),
}


def model(kind: str, seed: int = 0, **settings) -> TimmBackbone:
    """Every weight random, so that a swapped or forgotten one is seen."""
    name, arguments = MODELS[kind]
    backbone = TimmBackbone(name, **{**SMALL, **arguments, **settings})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def prefixed(weights: dict, prefix: str) -> dict:
    return {prefix + name: value for name, value in weights.items()}


def heads(prefix: str) -> dict:
    return {f"{prefix}mlp.0.weight": torch.ones(4, 32), f"{prefix}last_layer.weight_v": torch.ones(5, 4)}


def optimizer() -> dict:
    return {"state": {0: {"step": 3, "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def dino(w: dict) -> dict:
    """main_dino.py: both networks, the optimizer, the loss's centre, the arguments."""
    student = prefixed({name: value + 1 for name, value in w.items()}, "module.backbone.")
    return {
        "student": {**student, **heads("module.head.")},
        "teacher": {**prefixed(w, "backbone."), **heads("head.")},
        "optimizer": optimizer(),
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=16),
        "dino_loss": {"center": torch.zeros(1, 5)},
        "fp16_scaler": None,
    }


def ibot(w: dict) -> dict:
    """main_ibot.py: the student alone has an embedding of masked patches."""
    content = dino(w)
    content["student"]["module.backbone.masked_embed"] = torch.zeros(1, 32)
    return {**content, "ibot_loss": {"center": torch.zeros(1, 5), "center2": torch.zeros(1, 1, 5)}}


def ibot_layer_scale(w: dict) -> dict:
    names = {".ls1.gamma": ".gamma_1", ".ls2.gamma": ".gamma_2"}
    return {"state_dict": {re.sub(r"\.ls\d\.gamma", lambda m: names[m[0]], name): value for name, value in w.items()}}


def mae(w: dict) -> dict:
    """main_pretrain.py: encoder and decoder in one module."""
    decoder = {
        "mask_token": torch.ones(1, 1, 16), "decoder_pos_embed": torch.ones(1, 17, 16),
        "decoder_embed.weight": torch.ones(16, 32), "decoder_embed.bias": torch.ones(16),
        "decoder_blocks.0.norm1.weight": torch.ones(16), "decoder_blocks.0.attn.qkv.weight": torch.ones(48, 16),
        "decoder_norm.weight": torch.ones(16), "decoder_pred.weight": torch.ones(192, 16),
    }  # fmt: skip
    args = argparse.Namespace(model="mae_vit_base_patch16")
    return {"model": {**w, **decoder}, "optimizer": optimizer(), "epoch": 800, "scaler": {"scale": 1.0}, "args": args}


def ijepa(w: dict) -> dict:
    predictor = {"module.mask_token": torch.ones(1, 1, 16), "module.predictor_blocks.0.norm1.weight": torch.ones(16)}
    context = prefixed({name: value + 1 for name, value in w.items()}, "module.")
    about = {
        "opt": optimizer(),
        "scaler": None,
        "epoch": 300,
        "loss": 0.2,
        "batch_size": 16,
        "world_size": 16,
        "lr": 1e-3,
    }
    return {"encoder": context, "predictor": predictor, "target_encoder": prefixed(w, "module."), **about}


def dinov2(w: dict) -> dict:
    """The released backbones: no registers, so timm's position embedding is theirs."""
    return {**w, "mask_token": torch.zeros(1, 32)}


def dinov2_registers(w: dict) -> dict:
    """Theirs adds a position to the class token, timm's has it in the class token."""
    position = torch.full((1, 1, 32), 0.25)
    theirs = {name: value for name, value in w.items() if name not in ("reg_token", "cls_token", "pos_embed")}
    return {
        **theirs,
        "register_tokens": w["reg_token"],
        "cls_token": w["cls_token"] - position,
        "pos_embed": torch.cat([position, w["pos_embed"]], dim=1),
        "mask_token": torch.zeros(1, 32),
    }


def dinov2_swiglu(w: dict) -> dict:
    return dinov2({name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): value for name, value in w.items()})


def dinov2_training(w: dict) -> dict:
    """teacher_checkpoint.pth: blocks in chunks (`BlockChunk`), here of one and of two."""
    chunk = {"0": "0", "1": "1", "2": "1"}
    chunked = {re.sub(r"^blocks\.(\d)", lambda m: f"blocks.{chunk[m[1]]}.{m[1]}", name): w[name] for name in w}
    return {"teacher": {**prefixed(dinov2(chunked), "backbone."), **heads("dino_head."), **heads("ibot_head.")}}


def dinov3(w: dict) -> dict:
    theirs = {}
    for name, value in w.items():
        name = name.replace("reg_token", "storage_tokens")
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        name = name.replace("mlp.fc1_g", "mlp.w1").replace("mlp.fc1_x", "mlp.w2")
        theirs[name.replace("mlp.fc2", "mlp.w3") if any("fc1_g" in n for n in w) else name] = value
    for i in range(SMALL["depth"]):
        none = torch.zeros(32)
        bias = [theirs.pop(f"blocks.{i}.attn.{part}_bias", none) for part in "qv"]
        theirs[f"blocks.{i}.attn.qkv.bias"] = torch.cat([bias[0], none, bias[1]])
        theirs[f"blocks.{i}.attn.qkv.bias_mask"] = torch.cat([torch.ones(32), none, torch.ones(32)])
    periods = 100 ** (2 * torch.arange(4) / 8)  # base ** (2 i / (head width / 2)), a head of 16
    return {**theirs, "mask_token": torch.zeros(1, 32), "rope_embed.periods": periods.bfloat16()}


def dinov3_training(w: dict) -> dict:
    return {"teacher": {**prefixed(dinov3(w), "backbone."), **heads("dino_head.")}, "epoch": 1}


def lightly_distilled(w: dict) -> dict:
    """A LightningModule around lightly's MaskedVisionTransformerTIMM, as in its examples for DINO and iBOT."""
    student = {**prefixed(w, "vit."), "mask_token": torch.zeros(1, 1, 32)}
    state = {**prefixed(student, "student_backbone."), **prefixed(student, "teacher_backbone."), **heads("head.")}
    return {"epoch": 1, "state_dict": state, "optimizer_states": [optimizer()], "pytorch-lightning_version": "2.0"}


def lightly_mae(w: dict) -> dict:
    state = {**prefixed(w, "backbone.vit."), "backbone.mask_token": torch.zeros(1, 1, 32)}
    return {"state_dict": {**state, "decoder.decoder_embed.weight": torch.ones(16, 32)}}


def clip(w: dict) -> dict:
    """open_clip's and OpenAI's tower, beside the text's."""
    names = {
        "patch_embed.proj": "conv1", "pos_embed": "positional_embedding", "cls_token": "class_embedding",
        "norm_pre": "ln_pre", "blocks.": "transformer.resblocks.", "norm1": "ln_1", "norm2": "ln_2",
        "attn.qkv.": "attn.in_proj_", "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    }  # fmt: skip
    theirs = {}
    for name, value in w.items():
        for own, other in names.items():
            name = name.replace(own, other)
        theirs[re.sub(r"^norm\.", "ln_post.", name)] = value
    theirs["class_embedding"] = theirs["class_embedding"].flatten()
    theirs["positional_embedding"] = theirs["positional_embedding"][0]
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(16), "positional_embedding": torch.ones(77, 16)}
    return {**prefixed({**theirs, "proj": torch.ones(32, 16)}, "visual."), **text, "logit_scale": torch.tensor(1.0)}


def siglip(w: dict) -> dict:
    """open_clip's, with timm's tower and its pooling."""
    pool = {"attn_pool.latent": torch.ones(1, 1, 32), "attn_pool.q.weight": torch.ones(32, 32)}
    return {**prefixed({**w, **pool}, "visual.trunk."), "text.token_embedding.weight": torch.ones(9, 16)}


ORIGINALS = [
    ("vit", dino, "teacher"), ("vit", ibot, "teacher"), ("vit", mae, None), ("no class token", ijepa, "target_encoder"),
    ("layer scale", ibot_layer_scale, None), ("layer scale", dinov2, None), ("registers", dinov2_registers, None),
    ("swiglu", dinov2_swiglu, None), ("layer scale", dinov2_training, None), ("dinov3", dinov3, None),
    ("dinov3 qkv bias", dinov3, None), ("dinov3 swiglu", dinov3, None), ("dinov3", dinov3_training, None),
    ("vit", lightly_distilled, "teacher_backbone"), ("vit", lightly_mae, None), ("clip", clip, None),
    ("siglip", siglip, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "original", "key"), ORIGINALS, ids=lambda v: getattr(v, "__name__", v))
def test_the_originals_load_whole(kind, original, key, tmp_path):
    expected = model(kind)
    torch.save(original(expected.vit.state_dict()), tmp_path / "theirs.pth")
    name, arguments = MODELS[kind]
    loaded = TimmBackbone(name, checkpoint=str(tmp_path / "theirs.pth"), checkpoint_key=key, **{**SMALL, **arguments})
    own = loaded.vit.state_dict()
    assert own.keys() == expected.vit.state_dict().keys()
    for weight, value in expected.vit.state_dict().items():
        if original is dinov2_registers and weight == "cls_token":  # a difference and a sum
            torch.testing.assert_close(own[weight], value)
        else:
            assert torch.equal(own[weight], value), weight


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "original", "key"), ORIGINALS, ids=lambda v: getattr(v, "__name__", v))
def test_no_tensor_of_an_original_may_be_missing_or_strange(kind, original, key, tmp_path):
    """Each of the last block's tensors in turn, and one that nobody knows."""
    whole = original(model(kind).vit.state_dict())
    network = choose_network(_saved(whole, tmp_path / "whole.pth"), "whole.pth", key)
    needed = [name for name in network if name.startswith(("blocks.2.", "transformer.resblocks.2.", "cls_token"))]
    vit = model(kind, seed=1).vit
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    for name in needed:
        if name.endswith("bias_mask") or (kind in ("dinov3", "dinov3 swiglu") and name.endswith("qkv.bias")):
            continue  # constants, and biases of zero that timm's model does without
        torch.save({k: v for k, v in network.items() if k != name}, tmp_path / "partial.pth")
        with pytest.raises(ValueError, match=r"of another architecture: (missing|timm cannot convert it)"):
            load_weights(vit, tmp_path / "partial.pth")
    torch.save({**network, "blocks.2.attn.temperature": torch.ones(2)}, tmp_path / "more.pth")
    with pytest.raises(ValueError, match=r"not in the model \(1\): \S*blocks\.2\.\*?.*Give the model name"):
        load_weights(vit, tmp_path / "more.pth")
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())


def _saved(content: dict, path) -> dict:
    torch.save(content, path)
    return read_tensors(path)


def test_several_networks_need_a_key_and_the_choices_are_named(tmp_path):
    weights = model("vit").vit.state_dict()
    torch.save(dino(weights), tmp_path / "dino.pth")
    choices = r"2 networks: student\.module\.backbone, teacher\.backbone"
    with pytest.raises(ValueError, match=rf"{choices}. Say which one by checkpoint_key, e.g. checkpoint_key='teacher'"):
        load_weights(model("vit").vit, tmp_path / "dino.pth")
    with pytest.raises(ValueError, match=r"'ema' names 0 of its networks; there are: student\.module\.backbone, teach"):
        load_weights(model("vit").vit, tmp_path / "dino.pth", "ema")
    with pytest.raises(ValueError, match=r"'backbone' names 2 of its networks; there are: student"):
        load_weights(model("vit").vit, tmp_path / "dino.pth", "backbone")
    for key, added in (("student", 1), ("student.module.backbone", 1), ("teacher", 0)):
        vit = model("vit", seed=1).vit
        load_weights(vit, tmp_path / "dino.pth", key)
        assert all(torch.equal(vit.state_dict()[name], value + added) for name, value in weights.items())
    torch.save(weights, tmp_path / "plain.pth")
    with pytest.raises(ValueError, match=r"'teacher' names 0 of its networks; there is: \(the file itself\)"):
        load_weights(model("vit").vit, tmp_path / "plain.pth", "teacher")


def test_wrappers_of_torch_do_not_matter(tmp_path):
    weights = model("vit").vit.state_dict()
    compiled = {re.sub(r"^(blocks\.\d+)", r"\1._orig_mod", name): value for name, value in weights.items()}
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.", "model.encoder."):
        torch.save({"state_dict": prefixed(compiled, prefix)}, tmp_path / "wrapped.pth")
        vit = model("vit", seed=1).vit
        load_weights(vit, tmp_path / "wrapped.pth")
        assert all(torch.equal(vit.state_dict()[name], value) for name, value in weights.items())


def test_what_pretraining_alone_uses_is_left_out_by_name(tmp_path):
    torch.save(mae(model("vit").vit.state_dict()), tmp_path / "mae.pth")
    left_out = load_weights(model("vit").vit, tmp_path / "mae.pth")
    assert len(left_out) == 8 and {"mask_token", "decoder_pred.weight", "decoder_pos_embed"} < set(left_out)


def test_a_position_embedding_of_another_grid_is_resized_by_timm_and_said(tmp_path):
    big = model("vit", img_size=48).vit.state_dict()
    torch.save(big, tmp_path / "big.pth")
    vit = model("vit", seed=1).vit
    with pytest.warns(UserWarning, match=r"big.pth: pos_embed resized from a grid of 6 × 6 to 4 × 4"):
        load_weights(vit, tmp_path / "big.pth")
    assert torch.equal(vit.pos_embed, resample_abs_pos_embed(big["pos_embed"], [4, 4]))
    wide = model("vit", img_size=(16, 64)).vit.state_dict()  # as many patches as the model, or others: no square
    wide["pos_embed"] = torch.ones(1, 13, 32)
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(ValueError, match="timm cannot convert it"):
        load_weights(vit, tmp_path / "wide.pth")


@pytest.mark.parametrize("kind", ["registers", "siglip", "clip"])
def test_the_grid_of_every_kind_is_resized(kind, tmp_path, recwarn):
    original = {"registers": dinov2_registers, "siglip": siglip, "clip": clip}[kind]
    torch.save(original(model(kind, img_size=48).vit.state_dict()), tmp_path / "big.pth")
    load_weights(model(kind).vit, tmp_path / "big.pth")
    assert [str(w.message).split(": ")[1] for w in recwarn] == ["pos_embed resized from a grid of 6 × 6 to 4 × 4"]
    recwarn.clear()
    load_weights(model(kind, img_size=48).vit, tmp_path / "big.pth")
    assert not recwarn.list


def test_half_precision_loads_and_weights_that_are_not_finite_are_refused(tmp_path):
    weights = model("vit").vit.state_dict()
    torch.save({name: value.half() for name, value in weights.items()}, tmp_path / "half.pth")
    vit = model("vit", seed=1).vit
    load_weights(vit, tmp_path / "half.pth")
    assert all(torch.equal(vit.state_dict()[name], value.half().float()) for name, value in weights.items())
    weights["blocks.1.attn.qkv.weight"] = torch.full_like(weights["blocks.1.attn.qkv.weight"], torch.nan)
    torch.save(weights, tmp_path / "nan.pth")
    with pytest.raises(ValueError, match=r"weights that are not finite: blocks\.1\.attn\.qkv\.weight"):
        load_weights(vit, tmp_path / "nan.pth")


def test_what_dinov3_masks_or_leaves_constant_is_compared_before_it_is_left_out(tmp_path):
    weights = dinov3(model("dinov3 qkv bias").vit.state_dict())
    name = "blocks.1.attn.qkv.bias"

    def refused(kind: str, changes: dict, message: str) -> None:
        torch.save({**weights, **changes}, tmp_path / "dinov3.pth")
        with pytest.raises(ValueError, match=message):
            load_weights(model(kind).vit, tmp_path / "dinov3.pth")

    refused("dinov3", {}, r"qkv\.bias is not zero and the model has none: timm's \*_qkvb have")
    refused("dinov3 qkv bias", {"rope_embed.periods": torch.ones(4)}, "periods are others than the model's")
    key = {name: torch.ones(96), f"{name}_mask": torch.ones(96)}
    refused("dinov3 qkv bias", key, r"blocks\.1\.attn\.qkv\.bias has a bias of keys")
    refused("vit", {}, r"not in the model .*storage_tokens")
    torch.save(
        {**weights, name: weights[name] + torch.tensor([0, 1, 0]).repeat_interleave(32)}, tmp_path / "masked.pth"
    )
    load_weights(model("dinov3 qkv bias").vit, tmp_path / "masked.pth")


class RunsCode:
    ran = False

    def __reduce__(self):
        return setattr, (RunsCode, "ran", True)


def test_no_code_of_a_file_is_run(tmp_path):
    torch.save({"state_dict": model("vit").vit.state_dict(), "callback": RunsCode()}, tmp_path / "unsafe.pth")
    with pytest.raises(
        ValueError, match=r"unsafe.pth cannot be read: .*builtins.setattr.*could run code.*weights alone"
    ):
        read_tensors(tmp_path / "unsafe.pth")
    assert not RunsCode.ran


def test_files_without_a_network_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(2)}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"no vision transformer is among its 1 tensors \(conv1\.weight, …\)"):
        load_weights(model("vit").vit, tmp_path / "resnet.pth")
    hugging_face = {"vit.embeddings.patch_embeddings.projection.weight": torch.ones(2)}
    save_file(hugging_face, tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"names of Hugging Face transformers; give the file of the authors or of timm"
    ):
        load_weights(model("vit").vit, tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"is a folder; give a file in it: model.safetensors, resnet.pth"):
        load_weights(model("vit").vit, tmp_path)
