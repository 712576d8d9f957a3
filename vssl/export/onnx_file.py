"""A backbone as an ONNX file: images in [0, 1] in, normalised tokens out, any batch, any size where timm allows it."""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.export.source import Source
from vssl.learner import TimmBackbone

TOLERANCE = 1e-4  # of tokens that the backbone's final norm has scaled
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_PROTOBUF_LIMIT = 2**31 - 2**20  # bytes; larger weights go into a file beside it


def write_onnx(source: Source, out: Path) -> tuple[list[Path], bool]:
    """``backbone.onnx``: ``images`` (batch, 3, height, width) in [0, 1] → ``tokens`` (batch, prefix + patches, dim).

    The channels' mean and deviation are inside. The file is compared with the backbone on other batches and sizes than
    it was traced with; if sizes differ in result, or cannot be traced, it is written for one size.

    Returns:
        The files, and whether height and width are free (multiples of the patch).

    Raises:
        ImportError: the extra ``onnx`` is not installed. ValueError: the file gives other tokens than the backbone.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ImportError(f"--format onnx needs {', '.join(absent)}: pip install 'vssl[onnx]'")
    backbone, path = source.backbone.cpu().float(), out / "backbone.onnx"
    rows, columns = (max(side, 2) for side in backbone.vit.patch_embed.grid_size)
    grids = [(rows, columns + 1), (rows + 1, columns), (rows, columns)]
    try:
        _write(backbone, path, grids[0], free_size=True)
        free_size = _same(backbone, path, grids)
    except Exception as error:  # of torch.export: a size that a model computes with in Python
        warnings.warn(
            f"{path}: height and width are fixed, for this model cannot be traced ({str(error).splitlines()[0]})",
            stacklevel=2,
        )
        free_size = False
    if not free_size:
        _write(backbone, path, grids[-1], free_size=False)
        if not _same(backbone, path, grids[-1:]):
            raise ValueError(f"{path}: the ONNX file gives other tokens than the backbone by more than {TOLERANCE}")
    return sorted(out.glob("backbone.onnx*")), free_size


def _write(backbone: TimmBackbone, path: Path, grid: tuple[int, int], free_size: bool) -> None:
    axes = {0: torch.export.Dim("batch", min=1, max=2**16)}
    if free_size:
        sides = [backbone.patch_size * torch.export.Dim(name, min=2, max=2**10) for name in ("rows", "columns")]
        axes |= {2: sides[0], 3: sides[1]}
    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    with torch.no_grad(), _traceable_rope(backbone.vit), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        torch.onnx.export(
            backbone,
            (_images(backbone, 2, grid),),
            str(path),
            input_names=["images"],
            output_names=["tokens"],
            dynamic_shapes=(axes,),
            dynamo=True,
            external_data=weights > _PROTOBUF_LIMIT,
            verbose=False,
        )


def _same(backbone: TimmBackbone, path: Path, grids: list[tuple[int, int]]) -> bool:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch, grid in zip((1, 3, 2), grids, strict=False):
        images = _images(backbone, batch, grid)
        (tokens,) = session.run(None, {"images": images.numpy()})
        with torch.no_grad():
            expected = backbone(images)
        if tokens.shape != expected.shape or not torch.allclose(torch.from_numpy(tokens), expected, atol=TOLERANCE):
            return False
    return True


def _images(backbone: TimmBackbone, batch: int, grid: tuple[int, int]) -> Float[Tensor, "batch 3 height width"]:
    sides = [side * backbone.patch_size for side in grid]
    return torch.rand(batch, 3, *sides, generator=torch.Generator().manual_seed(0))


@contextmanager
def _traceable_rope(vit: nn.Module) -> Iterator[None]:
    """DINOv3's rotary embedding with a grid that stays symbolic: timm makes floats of the sizes, which fixes them."""
    rope = getattr(vit, "rope", None)
    if type(rope).__name__ != "RotaryEmbeddingDinoV3":
        yield
        return

    def get_embed(shape: tuple[int, int], **_) -> Float[Tensor, "patches channels"]:
        axes = [(torch.arange(side, dtype=torch.float32) + 0.5 + rope.grid_offset) / side * 2 - 1 for side in shape]
        coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 1)
        return torch.cat(rope._get_pos_embed_from_coords(coordinates), dim=-1)

    rope.get_embed = get_embed
    try:
        yield
    finally:
        del rope.get_embed
