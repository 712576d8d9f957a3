"""Rendered rooms as a retrieval benchmark: grades hold what they say, bytes repeat, and the probe's loader reads it."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.commands.data import main
from vssl.datasets.revisited import RevisitedRetrieval
from vssl.datasets.scenes import room_retrieval, write_retrieval
from vssl.datasets.scenes.furniture import PROMINENT
from vssl.datasets.scenes.layout import compose
from vssl.datasets.scenes.ray_casting import trace

ROOMS, SIZE = 9, 24


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("rooms") / "r"
    write_retrieval(out, rooms=ROOMS, size=SIZE, workers=1)
    return out


def digests(root: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_the_loader_of_the_real_benchmarks_reads_it(written):
    data = RevisitedRetrieval(written)
    assert data.name == "scenes_retrieval" and (len(data.queries), len(data.database)) == (ROOMS, 8 * ROOMS)
    for room, truth in enumerate(data.ground_truth):
        named = {grade: [data.database[i].stem for i in truth[grade]] for grade in truth}
        assert named == {
            grade: [f"room_{room:04d}_{grade}_{k}" for k in range(count)]
            for grade, count in (("easy", 3), ("hard", 4), ("junk", 1))
        }
        _, (left, top, right, bottom) = data.queries[room]
        assert 0 <= left < right <= SIZE and 0 <= top < bottom <= SIZE
        assert data.query_image(room).shape == (bottom - top, right - left, 3)


def test_the_written_images_are_the_rendered_ones_up_to_jpeg(written):
    room = room_retrieval.render_room(0, 4, SIZE)
    for name, image in (("query", room.query), ("hard_2", room.graded["hard"][2]), ("junk_0", room.graded["junk"][0])):
        stored = np.asarray(Image.open(written / f"jpg/room_0004_{name}.jpg")).astype(float)
        assert np.abs(stored - image).mean() < 8


def test_each_grade_is_as_far_from_the_query_as_it_says():
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(room_retrieval.GRADES, 0)
    for number in range(12):
        scene = compose(rng, PROMINENT[number % len(PROMINENT)])
        x, _, z = scene.camera.position
        for name, grade in room_retrieval.GRADES.items():
            for view in room_retrieval._views(rng, scene, grade, 32):
                seen[name] += 1
                assert (view.lights != scene.lights) == grade.relit and view.things is scene.things
                vx, _, vz = view.camera.position
                cosine = (x * vx + z * vz) / (np.hypot(x, z) * np.hypot(vx, vz))
                assert grade.turn[0] - 0.1 <= np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) <= grade.turn[1] + 0.1
                share = room_retrieval._prominent(view, trace(view, 32)).mean()
                assert grade.share[0] <= share <= grade.share[1]
                low, high, position = scene.room.low, scene.room.high, view.camera.position
                assert all(a < p < b for a, p, b in zip(low, position, high, strict=True))
    assert min(seen.values()) > 5


@pytest.mark.slow
def test_same_seed_same_bytes_whoever_writes_and_another_seed_other_rooms(written, tmp_path):
    write_retrieval(tmp_path / "a", rooms=ROOMS, size=SIZE, workers=3)
    assert digests(tmp_path / "a") == digests(written)
    write_retrieval(tmp_path / "b", rooms=ROOMS, size=SIZE, seed=1, workers=1)
    ours, others = digests(written), digests(tmp_path / "b")
    assert not any(others[name] == ours[name] for name in ours)


@pytest.mark.slow
def test_a_complete_set_is_left_alone_a_lost_file_comes_back_and_other_options_are_refused(written, monkeypatch):
    before = digests(written)
    (written / "jpg/room_0003_easy_1.jpg").unlink()
    write_retrieval(written, rooms=ROOMS, size=SIZE, workers=1)
    assert digests(written) == before
    with pytest.raises(FileExistsError, match="rooms: there 9, asked for 10"):
        write_retrieval(written, rooms=10, size=SIZE)
    monkeypatch.setattr(room_retrieval, "_write_rooms", None)
    write_retrieval(written, rooms=ROOMS, size=SIZE)


@pytest.mark.parametrize("wrong", [dict(rooms=1), dict(size=8), dict(seed=-1)])
def test_options_out_of_range(wrong, tmp_path):
    with pytest.raises(ValueError, match="expected 2 or more"):
        write_retrieval(tmp_path / "a", **wrong)
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_the_command(tmp_path, written):
    out = tmp_path / "r"
    assert main(["scenes_retrieval", "--out", str(out), "--rooms", str(ROOMS), "--size", str(SIZE)]) == 0
    assert digests(out) == digests(written)
    about = json.loads((out / "dataset.json").read_text())
    assert about["counts"] == {"database": 72, "queries": 9} and about["options"]["seed"] == 0
