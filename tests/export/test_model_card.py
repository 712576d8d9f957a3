"""The model card says what the run says, and no more."""

from vssl.export.model_card import model_card
from vssl.export.source import open_source


def test_the_card_holds_data_recipe_policy_and_scores_with_their_protocol(run):
    card = model_card(open_source(run), "mine")
    assert card.startswith("---\nlibrary_name: timm\npipeline_tag: image-feature-extraction\n")
    assert "continued with SimCLR for 190 steps" in card and "the weights are the student's" in card
    assert "| start | secret/dino.pth (teacher) |" in card
    assert "| data | UnlabeledImages(root=secret/photos, size=48) |" in card
    assert "| recipe | MultiCrop(grayscale=0.2) |" in card and "| seconds | 38.0 |" in card
    assert "| global crops | hue (turns) | -0.1 to 0.1 | -0.02 to 0.02 |" in card
    assert "| global crops | grayscale (probability) | 0.2 | 0.05 |" in card and "blur (pixels" not in card
    assert "| segmentation | mIoU | 65.70 % | more is better |" in card
    assert '"root": "secret/ade20k"' in card and "home" not in card and "anna" not in card
    assert "11.1" not in card  # of random weights


def test_a_file_alone_has_a_card_that_says_what_is_unknown(run, tmp_path):
    file = tmp_path / "backbone.safetensors"
    file.write_bytes((run / "backbone.safetensors").read_bytes())
    card = model_card(open_source(file), "mine")
    assert "## Scores\n\nNot measured." in card and "designer learned" not in card and "| data |" not in card
    assert "continued with SimCLR for 190 steps" in card
