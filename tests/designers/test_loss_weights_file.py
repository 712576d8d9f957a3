"""Saved weights of a loss are those that were learned, bit for bit, stay as they are, and suit one objective alone."""

import pytest
import torch
import yaml

from vssl.designers import GlobalPolicy, LossWeights, SavedLossWeights, Together, save_loss_weights
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import DINO, MAE, ObjectiveMix
from vssl.objectives.hog import HOG
from vssl.objectives.targets import Pixels
from vssl.views import MultiCrop

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
RECIPE = MultiCrop(global_size=16, n_global=1)


@pytest.fixture
def backbone():
    return TimmBackbone("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2)


def learned(components, recipe=RECIPE):
    designer = LossWeights(recipe, components, entropy=0.1)
    with torch.no_grad():
        designer.shift.copy_(torch.linspace(-0.7, 0.4, len(components)))
    return designer


def written(path, **changed):
    document = {"format": "vssl-loss-weights", "version": 1, "note": "", "weights": {"hog": 0.5, "pixels": 1.5}}
    path.write_text(yaml.safe_dump(document | changed))
    return path


def test_they_are_the_same_weights_and_stay_as_they_are(tmp_path):
    designer = learned({"pixels": 3.0, "hog": 1.0})
    save_loss_weights(designer, tmp_path / "weights.yaml", note="a test")
    saved = SavedLossWeights(RECIPE, tmp_path / "weights.yaml")
    ours, theirs = (of(IMAGES, Draws(0, "v")) for of in (saved, designer))
    assert ours.loss_weights == theirs.loss_weights and sum(ours.loss_weights.values()) == pytest.approx(4.0)
    assert torch.equal(ours.views.global_crops, theirs.views.global_crops)
    assert ours.penalty == 0 and theirs.penalty > 0
    assert not any(weight.requires_grad for weight in ours.learned_weights.values())
    assert yaml.safe_load((tmp_path / "weights.yaml").read_text())["note"] == "a test"


def test_a_part_of_a_designer_is_found_and_goes_beside_others(tmp_path):
    parts = dict(views=dict(type=GlobalPolicy), loss=dict(type=LossWeights, components=dict(hog=1.0, pixels=1.0)))
    together = Together(RECIPE, **parts)
    with torch.no_grad():
        together.loss.shift.copy_(torch.tensor([0.5, -0.5]))
    save_loss_weights(together, tmp_path / "weights.yaml")
    parts["loss"] = dict(type=SavedLossWeights, path=tmp_path / "weights.yaml")
    beside = Together(RECIPE, **parts)
    assert not any(name.startswith("loss") for name, p in beside.named_parameters() if p.requires_grad)
    assert beside(IMAGES, Draws(0, "v")).loss_weights == together(IMAGES, Draws(0, "v")).loss_weights


def test_an_objective_counts_what_the_file_says(backbone, tmp_path):
    mae, dino = dict(type=MAE, **MAE.small(32)), dict(type=DINO, n_local_crops=0, **DINO.small(32))
    objective = ObjectiveMix(backbone, dict(mae=mae, dino=dino), dict(dino=0.5))
    designer = learned({"mae/pixels": 1.0, "dino/cls": 0.5})
    designer.check(objective)
    save_loss_weights(designer, tmp_path / "weights.yaml")
    saved = SavedLossWeights(RECIPE, tmp_path / "weights.yaml")
    saved.check(objective)
    objective.adopt(**saved(IMAGES, Draws(0, "v")).for_objective)
    assert objective.component_weights() == designer.learned() != {"dino/cls": 0.5, "mae/pixels": 1.0}


def test_another_objective_is_refused_by_name(backbone, tmp_path):
    saved = SavedLossWeights(RECIPE, written(tmp_path / "weights.yaml"))
    with pytest.raises(ValueError, match=r"weights.yaml: DINO's loss has no component 'hog', 'pixels'; it has cls"):
        saved.check(DINO(backbone, n_local_crops=0, **DINO.small(32)))
    misspelt = SavedLossWeights(RECIPE, written(tmp_path / "weights.yaml", weights={"hug": 1.0, "pixels": 1.0}))
    mae = MAE(backbone, target=[dict(type=Pixels), dict(type=HOG)], **MAE.small(32))
    saved.check(mae)
    with pytest.raises(ValueError, match=r"no component 'hug'; did you mean 'hog'\?; it has pixels, hog"):
        misspelt.check(mae)
    raw = dict(type=Pixels, normalize=False)
    more = MAE(backbone, target=[dict(type=Pixels), raw, dict(type=HOG)], **MAE.small(32))
    with pytest.raises(ValueError, match="has no weight of raw_pixels, which MAE's loss has too"):
        saved.check(more)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"format": "vssl-sources"}, "not a file of loss weights"),
        ({"version": 2}, "version 2"),
        ({"weight": {}}, "did you mean 'weights'"),
        ({"weights": {"hog": 0.0, "pixels": 1.0}}, "each with a number above 0"),
        ({"weights": {"hog": True, "pixels": 1.0}}, "each with a number above 0"),
        ({"weights": {"hog": 1.0}}, "two or more components"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, changed, told):
    with pytest.raises(ValueError, match=told):
        SavedLossWeights(RECIPE, written(tmp_path / "weights.yaml", **changed))


def test_files_that_cannot_be_read_or_written_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_loss_weights writes it"):
        SavedLossWeights(RECIPE, tmp_path / "weights.yaml")
    (tmp_path / "weights.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="not readable as YAML"):
        SavedLossWeights(RECIPE, tmp_path / "weights.yaml")
    with pytest.raises(ValueError, match=r"ends in \.yaml or \.yml"):
        save_loss_weights(learned({"a": 1.0, "b": 1.0}), tmp_path / "weights.json")
    with pytest.raises(ValueError, match="GlobalPolicy has no LossWeights"):
        save_loss_weights(GlobalPolicy(RECIPE), tmp_path / "weights.yaml")
