"""Revisited Oxford/Paris from a miniature gnd_*.mat: indices from 0, boxes, crops, and pickles that stay closed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vssl.datasets import UnreadableImage
from vssl.datasets.prepare.oxford_paris import ROXFORD5K, RPARIS6K, Benchmark, prepare_retrieval
from vssl.datasets.revisited import RevisitedRetrieval, read_ground_truth

NAMES = ["all_souls_000001", "ashmolean_000002", "magdalen_000003", "oxford_000004", "worcester_000005"]
QUERIES = ["all_souls_000013", "bodleian_000107"]
TRUTH = [
    dict(bbx=[[3.4, 2.6, 20.5, 17.2]], easy=[[2, 5]], hard=[[1]], junk=[[4]]),
    dict(bbx=[[0.0, 0.0, 10.0, 12.0]], easy=np.zeros((0, 0)), hard=[[3, 4, 5]], junk=np.zeros((0, 0))),
]
MINI = Benchmark("roxford5k", 5, 2, "oxbuild_images.tgz")


def write_mat(path: Path, truth=TRUTH, names=NAMES, queries=QUERIES) -> Path:
    """As MATLAB saves it: cell arrays of names, a struct array of ground truth, numbers from 1."""
    gnd = np.zeros((1, len(truth)), dtype=[(field, object) for field in truth[0]])
    for k, record in enumerate(truth):
        for field, value in record.items():
            gnd[0, k][field] = np.asarray(value, dtype=np.float64)
    savemat(path, {"gnd": gnd, "imlist": np.array(names, object)[:, None], "qimlist": np.array([queries], object)})
    return path


def photograph(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "source"
    for k, name in enumerate(NAMES + QUERIES):
        place = folder / "unpacked" / name.rsplit("_", 1)[0]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph(k)).save(place / f"{name}.jpg")
    Image.fromarray(photograph(99)).save(folder / "unpacked" / "unused_000001.jpg")
    write_mat(folder / "gnd_roxford5k.mat")
    return folder


def test_indices_count_from_zero_and_boxes_keep_their_fractions(source, tmp_path):
    prepare_retrieval(source, tmp_path / "out", MINI)
    data = RevisitedRetrieval(tmp_path / "out")
    assert data.name == "roxford5k"
    assert [path.stem for path in data.database] == NAMES and all(path.is_file() for path in data.database)
    assert [path.stem for path, _ in data.queries] == QUERIES
    assert [box for _, box in data.queries] == [(3.4, 2.6, 20.5, 17.2), (0.0, 0.0, 10.0, 12.0)]
    assert {k: v.tolist() for k, v in data.ground_truth[0].items()} == {"easy": [1, 4], "hard": [0], "junk": [3]}
    assert {k: v.tolist() for k, v in data.ground_truth[1].items()} == {"easy": [], "hard": [2, 3, 4], "junk": []}
    assert all(v.dtype == np.int64 and v.ndim == 1 for record in data.ground_truth for v in record.values())


def test_queries_are_cropped_as_pillow_does(source, tmp_path):
    prepare_retrieval(source, tmp_path / "out", MINI)
    data = RevisitedRetrieval(tmp_path / "out")
    for index, (path, box) in enumerate(data.queries):
        expected = np.asarray(Image.open(path).convert("RGB").crop(box))
        assert (data.query_image(index) == expected).all()
    assert data.query_image(0).shape == (14, 17, 3)


def test_the_prepared_folder_holds_the_named_images_byte_for_byte_and_its_description(source, tmp_path):
    about = json.loads(prepare_retrieval(source, tmp_path / "out", MINI).read_text())
    written = {path.stem: path.read_bytes() for path in (tmp_path / "out/jpg").iterdir()}
    assert set(written) == {*NAMES, *QUERIES}
    assert all(written[path.stem] == path.read_bytes() for path in source.rglob("*.jpg") if path.stem in written)
    assert about["counts"] == {"database": 5, "queries": 2} and set(about["hashes"]) == {
        "ground_truth_sha256",
        "images_sha256",
    }
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    prepare_retrieval(source, tmp_path / "out", MINI)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == stamps


class Exploit:
    def __reduce__(self):
        return Path.touch, (Path("owned"),)


def test_a_pickle_is_refused_and_never_opened(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (source / "gnd_roxford5k.mat").unlink()
    (source / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(Exploit()))
    for read in (lambda: prepare_retrieval(source, tmp_path / "out", MINI), lambda: RevisitedRetrieval(source)):
        with pytest.raises(FileNotFoundError, match=r"pickle can run any code, so that it is not read; .*\.mat"):
            read()
    (source / "gnd_roxford5k.pkl").rename(source / "gnd_roxford5k.mat")
    with pytest.raises(ValueError, match="not a readable MATLAB file"):
        prepare_retrieval(source, tmp_path / "out", MINI)
    assert not (tmp_path / "owned").exists() and not (tmp_path / "out").exists()


def test_missing_and_broken_images_are_named(source, tmp_path):
    lost = next(source.rglob("magdalen_000003.jpg"))
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of 7 images .* e\.g\. magdalen_000003\.jpg\. Unpack oxbuild_images"
    ):
        prepare_retrieval(source, tmp_path / "out", MINI)
    lost.write_bytes(content[:200])
    with pytest.raises(UnreadableImage, match="magdalen_000003"):
        prepare_retrieval(source, tmp_path / "out", MINI)
    lost.write_bytes(content)
    out = prepare_retrieval(source, tmp_path / "out", MINI).parent  # goes on where it stopped
    (out / "jpg" / "magdalen_000003.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 7 images are missing, .*Run tools/prepare_data\.py roxford5k"):
        RevisitedRetrieval(out)


def test_another_benchmark_is_refused_by_its_counts(source, tmp_path):
    with pytest.raises(ValueError, match=r"5 images and 2 queries, expected gnd_roxford5k\.mat with 4993 and 70"):
        prepare_retrieval(source, tmp_path / "out", ROXFORD5K)
    assert (RPARIS6K.database, RPARIS6K.queries) == (6322, 70)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(easy=[[0, 2]]), r"all_souls_000013: image numbers 0\.\.4, expected 1\.\.5"),
        (dict(hard=[[6]]), r"image numbers 2\.\.6, expected 1\.\.5"),
        (dict(junk=[[5]]), "image number 5 is in two of easy, hard and junk"),
        (dict(bbx=[[20.0, 2.0, 3.0, 17.0]]), "expected left < right and top < bottom"),
    ],
)
def test_ground_truth_that_cannot_be_is_refused_with_its_query(tmp_path, changes, message):
    path = write_mat(tmp_path / "gnd_roxford5k.mat", [TRUTH[0] | changes, TRUTH[1]])
    with pytest.raises(ValueError, match=message):
        read_ground_truth(path)


def test_a_mat_of_other_content_and_names_that_lead_elsewhere_are_refused(tmp_path):
    savemat(tmp_path / "gnd_a.mat", {"gnd": np.zeros(3)})
    with pytest.raises(ValueError, match="no imlist, qimlist in it"):
        read_ground_truth(tmp_path / "gnd_a.mat")
    with pytest.raises(ValueError, match="is not a plain file name"):
        read_ground_truth(write_mat(tmp_path / "gnd_b.mat", names=["../../x", *NAMES[1:]]))
    with pytest.raises(ValueError, match="2 queries, but ground truth for 1"):
        read_ground_truth(write_mat(tmp_path / "gnd_c.mat", TRUTH[:1]))
