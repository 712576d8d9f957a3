"""ONNX against the backbone, at batches and sizes that the file was not traced with."""

import importlib.util
from contextlib import nullcontext

import pytest
import torch

from vssl.commands.export import main
from vssl.export.onnx_file import write_onnx
from vssl.export.source import Source

onnx, onnxruntime = (pytest.importorskip(name) for name in ("onnx", "onnxruntime"))  # the extra "onnx"
pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vit", "registers", "dinov3"])
def test_onnx_gives_the_backbones_tokens(exported, tmp_path, capsys):
    backbone, file = exported
    assert main([str(file), "--format", "onnx", "--out", str(tmp_path / "onnx")]) == 0
    assert "any batch and size" in capsys.readouterr().out
    onnx.checker.check_model(str(tmp_path / "onnx/backbone.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx/backbone.onnx"))
    for shape in ((1, 3, 32, 32), (4, 3, 32, 32), (2, 3, 64, 24), (3, 3, 16, 56)):
        images = torch.rand(shape)
        (tokens,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(tokens), backbone(images), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_model_that_computes_with_its_size_in_python_gets_one_size(make_backbone, tmp_path, monkeypatch):
    """timm's own rotary embedding does: another size would give other tokens, without an error."""
    monkeypatch.setattr("vssl.export.onnx_file._traceable_rope", lambda vit: nullcontext())
    backbone = make_backbone("dinov3")
    files, free_size = write_onnx(Source(backbone), tmp_path)
    assert files == [tmp_path / "backbone.onnx"] and not free_size
    session, images = onnxruntime.InferenceSession(str(files[0])), torch.rand(3, 3, 32, 32)
    (tokens,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(tokens), backbone(images), rtol=0, atol=1e-4)
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(None, {"images": torch.rand(3, 3, 32, 40).numpy()})


def test_a_missing_extra_is_said_with_the_command(run, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    assert main([str(run), "--format", "onnx", "--out", str(tmp_path / "out")]) == 1
    assert "error: --format onnx needs onnxscript: pip install 'vssl[onnx]'" in capsys.readouterr().err
