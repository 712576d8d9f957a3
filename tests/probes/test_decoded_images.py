import json

from vssl.datasets.prepare.writing import finish
from vssl.probes.decoded_images import source_card


def test_card_quotes_how_the_data_was_prepared(tmp_path):
    about = dict(
        name="NYU Depth v2", classes=["a", "b"], counts={"train": 795, "test": 654}, hashes={"mat_sha256": "ab"}
    )
    finish(tmp_path, options={"depth": "raw"}, licence="research", **about)
    card = source_card(str(tmp_path / "train"), 12, 6)  # dataset.json lies above
    assert card["train_images"] == 12 and card["val_images"] == 6
    quoted = {
        "name": "NYU Depth v2",
        "licence": "research",
        "counts.train": 795,
        "counts.test": 654,
        "hashes.mat_sha256": "ab",
        "options.depth": "raw",
    }
    assert quoted.items() <= card["data"].items()
    assert set(card["data"]) == {*quoted, "root", "prepared_by"}  # not the lists of names
    json.dumps(card)


def test_card_without_a_description_names_the_folder(tmp_path):
    root = tmp_path / "a" / "b"
    root.mkdir(parents=True)
    assert source_card(str(root), 1, 2) == {"data": {"root": str(root)}, "train_images": 1, "val_images": 2}
