"""Retrieval on rendered rooms, in the layout of revisited Oxford and Paris: the same room, seen again from elsewhere.

    OUT/jpg/room_NNNN_*.jpg           per room a query and the images of each grade, see `GRADES`
    OUT/gnd_scenes_retrieval.mat      imlist, qimlist, gnd(bbx, easy, hard, junk); numbers from 1, as MATLAB counts
    OUT/dataset.json                  what it is; written last

What is searched for is the room's prominent thing: queries are cropped to it. All other rooms are negatives, a ninth of
them with a prominent thing of the same class. Every image has an exposure and noise of its own.
"""

import io
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy.io import savemat

from vssl.datasets.prepare.writing import ContentHash, begin, finish, write_whole
from vssl.datasets.scenes.families import DEFAULT_FAMILY, Family, family_named
from vssl.datasets.scenes.furniture import PROMINENT
from vssl.datasets.scenes.layout import Camera, Scene, compose, lighting, look_at
from vssl.datasets.scenes.ray_casting import MIN_SHARE, RENDERER_VERSION, Hits, shade, trace
from vssl.datasets.scenes.scene_files import JPEG, LARGEST, SMALLEST
from vssl.processes import end_with_parent
from vssl.progress import track

NAME = "scenes_retrieval"
VERSION = 1  # raise it with every change here that alters an image or a grade
_STREAM = 200  # none of the splits' and not the sheet's, so that no room is in two of them
_FACES = 6  # of the room; surfaces after them are the parts of things, the prominent one's first
_ROOMS, _CAMERAS = 200, 60  # drawings before giving up: of a room, and of a camera in it
_CLEARANCE = 0.3  # metres between a camera and anything


@dataclass(frozen=True)
class Grade:
    """How far an image of a room is from its query; ranges are drawn from uniformly.

    Attributes:
        count: images per room.
        turn: degrees around the prominent thing, to either side.
        distance: from it, as a factor of the query's.
        pan: how far it is from the middle of the image, as a share of the angle of view, to either side.
        relit: other lamps.
        share: of the image that the prominent thing may cover.
    """

    count: int
    turn: tuple[float, float]
    distance: tuple[float, float]
    pan: tuple[float, float] = (0.0, 0.1)
    relit: bool = False
    share: tuple[float, float] = (0.10, 1.0)


GRADES = {
    "easy": Grade(3, turn=(5, 20), distance=(0.9, 1.15)),
    "hard": Grade(4, turn=(30, 70), distance=(0.75, 1.4), relit=True, share=(0.06, 1.0)),
    # too little of the thing to be asked for, too much of the room to be another: neither right nor wrong
    "junk": Grade(1, turn=(0, 40), distance=(0.8, 1.2), pan=(0.45, 0.9), share=(0.0, 0.03)),
}


@dataclass(frozen=True)
class Room:
    """A query, the box of its prominent thing (left, top, right, bottom; pixels), and the images of each grade."""

    query: UInt8[np.ndarray, "S S 3"]
    box: tuple[int, int, int, int]
    graded: dict[str, list[UInt8[np.ndarray, "S S 3"]]]


def render_room(seed: int, index: int, size: int, family: str = DEFAULT_FAMILY) -> Room:
    """The room number `index`; its prominent class goes round with the index.

    Rooms that leave no place for a camera of some grade are drawn again.
    """
    look, wanted = family_named(family), PROMINENT[index % len(PROMINENT)]
    for attempt in range(_ROOMS):
        rng = np.random.default_rng((seed, _STREAM, index, attempt))
        scene = compose(rng, wanted)
        shown = _prominent(scene, trace(scene, size))
        if shown.mean() < MIN_SHARE:
            continue
        views = {name: list(_views(rng, scene, grade, size)) for name, grade in GRADES.items()}
        if any(len(views[name]) < grade.count for name, grade in GRADES.items()):
            continue
        dressed = look.dressed(scene, rng)
        photograph = partial(_photograph, rng, look, dressed, size)
        graded = {name: [photograph(view) for view in found] for name, found in views.items()}
        return Room(photograph(scene), _box(shown), graded)
    raise RuntimeError(f"no room around a {wanted} in {_ROOMS} drawings (seed {seed}, room {index}, {size} px)")


def _views(rng: np.random.Generator, scene: Scene, grade: Grade, size: int) -> Iterator[Scene]:
    """The scene as images of a grade see it; fewer than `grade.count` when the room has no place for them."""
    found = 0
    for _ in range(_CAMERAS):
        camera = _elsewhere(rng, scene, grade)
        if not _is_free(scene, camera):
            continue
        view = replace(scene, camera=camera)
        if grade.relit:
            lights, ambient = lighting(rng, scene.room)
            view = replace(view, lights=lights, ambient=ambient)
        if grade.share[0] <= _prominent(view, trace(view, size)).mean() <= grade.share[1]:
            yield view
            found += 1
            if found == grade.count:
                return


def _photograph(
    rng: np.random.Generator, family: Family, dressed: Scene, size: int, view: Scene
) -> UInt8[np.ndarray, "S S 3"]:
    """The dressed scene with a view's camera and lamps."""
    seen = replace(dressed, camera=view.camera, lights=view.lights, ambient=view.ambient)
    return shade(seen, trace(seen, size), rng, family)


def _elsewhere(rng: np.random.Generator, scene: Scene, grade: Grade) -> Camera:
    """The query's camera moved around the prominent thing, which stands at the origin."""
    x, height, z = scene.camera.position
    azimuth = np.arctan2(x, -z) + np.deg2rad(rng.choice((-1, 1)) * rng.uniform(*grade.turn))
    distance = np.hypot(x, z) * rng.uniform(*grade.distance)
    position = distance * np.sin(azimuth), height + rng.uniform(-0.2, 0.2), -distance * np.cos(azimuth)
    camera = look_at(position, (0.0, max(0.1, 0.5 * scene.things[0].high[1]), 0.0), scene.camera.fov)
    pan = np.tan(scene.camera.fov * rng.choice((-1, 1)) * rng.uniform(*grade.pan))
    forward = np.array(camera.forward) + pan * np.array(camera.right)
    return look_at(position, tuple(np.array(position) + forward), scene.camera.fov, np.deg2rad(rng.normal(0, 2.5)))


def _is_free(scene: Scene, camera: Camera) -> bool:
    """Whether a camera is inside the room and clear of everything in it."""
    low, high = (np.array(corner) for corner in (scene.room.low, scene.room.high))
    inside = (np.array(camera.position) > low + _CLEARANCE / 2) & (np.array(camera.position) < high - _CLEARANCE / 2)
    x, height, z = camera.position
    return bool(inside.all()) and all(
        np.hypot(x - thing.position[0], z - thing.position[2]) > thing.radius + _CLEARANCE
        for thing in scene.things
        if thing.position[1] + thing.high[1] > height - 1.0  # rugs lie below
    )


def _prominent(scene: Scene, hits: Hits) -> Bool[np.ndarray, "S S"]:
    """Which pixels show the prominent thing."""
    return (hits.surface >= _FACES) & (hits.surface < _FACES + len(scene.things[0].parts))


def _box(shown: Bool[np.ndarray, "S S"]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def write_retrieval(
    out: str | Path,
    rooms: int = 100,
    size: int = 48,
    seed: int = 0,
    family: str = DEFAULT_FAMILY,
    workers: int | None = None,
) -> Path:
    """Renders and writes the set; does nothing when it is there already. Returns the path of ``dataset.json``.

    Args:
        rooms: one query each.
        size: width and height of the images in pixels.
        seed: same seed, same bytes (with the same versions of NumPy, SciPy and Pillow), for any number of workers.
        family: see families.py.
        workers: processes; None takes every core this process may use.

    Raises:
        ValueError: options out of range.
        FileExistsError: `out` holds a set with other options, or files of someone else.
    """
    out, file = Path(out), f"gnd_{NAME}.mat"
    if rooms < 2 or not SMALLEST <= size <= LARGEST or seed < 0:
        raise ValueError(f"rooms {rooms}, size {size} px, seed {seed}: expected 2 or more, {SMALLEST}..{LARGEST}, 0..")
    family_named(family)
    options = dict(renderer=RENDERER_VERSION, version=VERSION, family=family, size=size, seed=seed, rooms=rooms)
    if begin(out, options, ("jpg", file)):
        contents = ContentHash()
        boxes = _write_rooms(out, options, contents, workers)
        write_whole(out / file, _ground_truth(boxes))
        finish(
            out,
            options,
            files=["jpg"],
            name="vssl scenes, retrieval",
            counts={"database": rooms * sum(grade.count for grade in GRADES.values()), "queries": rooms},
            hashes={"images_sha256": contents.hexdigest()},
            licence="Apache-2.0 (rendered by vssl, no third-party content)",
        )
    return out / "dataset.json"


def _write_rooms(out: Path, options: dict, contents: ContentHash, workers: int | None) -> list[tuple]:
    """Writes every image; returns the queries' boxes."""
    rooms, boxes = options["rooms"], []
    work = partial(_encoded_room, options["seed"], options["size"], options["family"])
    with multiprocessing.Pool(min(workers or len(os.sched_getaffinity(0)), rooms), initializer=end_with_parent) as pool:
        for box, files in track(pool.imap(work, range(rooms), 4), "rendering rooms", "rooms", rooms):
            boxes.append(box)
            for name, content in files.items():
                contents.add(name, content)
                write_whole(out / "jpg" / f"{name}.jpg", content)
    return boxes


def _encoded_room(seed: int, size: int, family: str, index: int) -> tuple[tuple, dict[str, bytes]]:
    """A query's box, and the room's JPEG files by name."""
    room = render_room(seed, index, size, family)
    images = dict(zip(_names(index), [room.query, *(i for found in room.graded.values() for i in found)], strict=True))
    return room.box, {name: _jpeg(image) for name, image in images.items()}


def _names(index: int) -> list[str]:
    """Of a room's query, and of its images grade by grade."""
    return [f"room_{index:04d}_query"] + [
        f"room_{index:04d}_{name}_{k}" for name, grade in GRADES.items() for k in range(grade.count)
    ]


def _jpeg(image: UInt8[np.ndarray, "S S 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, **JPEG)
    return buffer.getvalue()


def _ground_truth(boxes: list[tuple]) -> bytes:
    """The .mat file, without the time that SciPy writes into its header."""
    names = [_names(index) for index in range(len(boxes))]
    database = [name for room in names for name in room[1:]]
    gnd = np.zeros((1, len(boxes)), dtype=[(field, object) for field in ("bbx", *GRADES)])
    first = 1
    for index, box in enumerate(boxes):
        gnd[0, index]["bbx"] = np.array([box], np.float64)
        for name, grade in GRADES.items():
            gnd[0, index][name] = np.arange(first, first + grade.count, dtype=np.float64)[None]
            first += grade.count
    cells = {"imlist": np.array(database, object)[:, None], "qimlist": np.array([[room[0] for room in names]], object)}
    buffer = io.BytesIO()
    savemat(buffer, {"gnd": gnd, **cells})
    return b"MATLAB 5.0 MAT-file, written by vssl".ljust(116) + buffer.getvalue()[116:]
