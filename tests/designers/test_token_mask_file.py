"""A saved `TokenMask` makes the masks of the one that learned it, bit for bit, and does not learn."""

import json

import pytest
import torch
from safetensors.torch import save_file

from vssl.designers import GlobalPolicy, LossWeights, SavedTokenMask, Together, TokenMask, save_token_mask
from vssl.draws import Draws
from vssl.views import MultiCrop

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
RECIPE = MultiCrop(global_size=16, n_global=1)


@pytest.fixture
def learned():
    torch.manual_seed(0)
    designer = TokenMask(RECIPE, patch_size=4, learns=("hidden", "counted"), bound=2.0, width=4, entropy=0.1)
    torch.nn.init.normal_(designer.head.weight)
    return designer


def test_it_is_the_same_mask_and_stays_as_it_is(learned, tmp_path):
    save_token_mask(learned, tmp_path / "mask.safetensors", note="a test")
    saved = SavedTokenMask(RECIPE, tmp_path / "mask.safetensors")
    ours, theirs = (designer(IMAGES, Draws(0, "v")).views for designer in (saved, learned))
    assert torch.equal(ours.patch_scores, theirs.patch_scores) and torch.equal(ours.patch_weights, theirs.patch_weights)
    assert not ours.patch_scores.requires_grad and theirs.patch_scores.requires_grad
    assert not any(p.requires_grad for p in saved.parameters())


def test_a_part_of_a_designer_is_found_and_goes_beside_others(learned, tmp_path):
    parts = dict(views=dict(type=GlobalPolicy), patches=dict(type=TokenMask, patch_size=4, width=4))
    together = Together(RECIPE, **parts)
    together.patches.load_state_dict(TokenMask(RECIPE, patch_size=4, width=4).state_dict())
    save_token_mask(together, tmp_path / "mask.safetensors")
    beside = Together(
        RECIPE,
        patches=dict(type=SavedTokenMask, path=tmp_path / "mask.safetensors"),
        loss=dict(type=LossWeights, components=dict(a=1.0, b=1.0)),
    )
    assert [name for name, p in beside.named_parameters() if p.requires_grad] == ["loss.shift"]
    assert beside(IMAGES, Draws(0, "v")).views.patch_scores is not None


def test_what_is_no_such_file_is_told(learned, tmp_path):
    path = tmp_path / "mask.safetensors"
    with pytest.raises(FileNotFoundError, match="save_token_mask writes it"):
        SavedTokenMask(RECIPE, path)
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="not readable as safetensors"):
        SavedTokenMask(RECIPE, path)
    about = {"format": "vssl-token-mask", "version": "1", "settings": json.dumps({"patch_size": 4})}
    for changed, told in [
        ({"format": "else"}, "not a token mask"),
        ({"version": "2"}, "version 2"),
        ({}, "do not fit its settings"),
    ]:
        save_file({"a": torch.zeros(1)}, path, metadata=about | changed)
        with pytest.raises(ValueError, match=told):
            SavedTokenMask(RECIPE, path)
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        save_token_mask(learned, tmp_path / "mask.yaml")
    with pytest.raises(ValueError, match="GlobalPolicy has no TokenMask"):
        save_token_mask(GlobalPolicy(RECIPE), path)
