"""A backbone as a folder: for timm, for the Hugging Face hub, for torch.hub."""

import hashlib
import io
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf

from vssl.export.model_card import model_card
from vssl.export.source import Source
from vssl.learner import export_backbone
from vssl.learner.backbone_file import weights_of
from vssl.whole_files import EXPORTED, whole, write_json, write_text

_HUBCONF = '''"""{title}: torch.hub.load({folder!r}, "backbone", source="local")"""

from pathlib import Path

import timm
import torch

dependencies = ["timm", "torch"]


def backbone(pretrained=True):
    """{name} of timm: forward_features(images) gives normalised tokens (batch, {prefix} + patches, {dim}).

    Images are RGB in [0, 1], less the mean {mean} and divided by the deviation {std}.
    """
    model = timm.create_model({name!r}, **{arguments!r})
    if pretrained:
        file = Path(__file__).with_name({file!r})
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()
'''


def write_timm(source: Source, out: Path) -> list[Path]:
    """``backbone.safetensors``, as a run writes it: timm's names, the model and its arguments in the metadata."""
    path = out / EXPORTED
    export_backbone(source.backbone, path, source.about)
    return [path]


def write_hugging_face(source: Source, out: Path) -> list[Path]:
    """``model.safetensors``, ``config.json`` and a model card: ``timm.create_model("local-dir:OUT", pretrained=True)``
    loads it, and ``"hf-hub:NAME"`` after an upload."""
    path = out / "config.json"
    save_config_for_hf(source.backbone.vit, path, model_args=arguments(source))
    config = json.loads(path.read_text(encoding="utf-8"))
    for name in ("tag", "license"):  # of timm's own weights
        config["pretrained_cfg"].pop(name, None)
    config["pretrained_cfg"]["input_size"] = [3, *source.backbone.vit.patch_embed.img_size]
    write_json(path, config)
    with whole(out / "model.safetensors") as partial:
        save_file(weights_of(source.backbone), partial, metadata={"format": "pt"})
    write_text(out / "README.md", model_card(source, out.resolve().name))
    return [out / "model.safetensors", path, out / "README.md"]


def write_torch_hub(source: Source, out: Path) -> list[Path]:
    """A state dict whose name holds the start of its SHA-256, as torch.hub checks it, and a ``hubconf.py``."""
    content = io.BytesIO()
    torch.save(weights_of(source.backbone), content)
    path = out / f"backbone-{hashlib.sha256(content.getbuffer()).hexdigest()[:8]}.pth"
    with whole(path) as partial:
        partial.write_bytes(content.getbuffer())
    backbone = source.backbone
    text = _HUBCONF.format(
        title=backbone.name,
        folder=out.resolve().name,
        name=backbone.name,
        arguments=arguments(source),
        file=path.name,
        prefix=backbone.num_prefix_tokens,
        dim=backbone.embed_dim,
        mean=[round(value, 6) for value in backbone.mean.flatten().tolist()],
        std=[round(value, 6) for value in backbone.std.flatten().tolist()],
    )
    write_text(out / "hubconf.py", text)
    return [path, out / "hubconf.py"]


def arguments(source: Source) -> dict:
    """What `timm.create_model` needs beside the name."""
    return {"num_classes": 0, "global_pool": "", "dynamic_img_size": True, **source.backbone.model_args}
