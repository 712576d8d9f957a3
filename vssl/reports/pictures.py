"""What the runs looked at and what the probes made of it: sample views with masks, and predictions."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib import colormaps
from matplotlib.colors import hsv_to_rgb

from vssl.reports.markup import image
from vssl.reports.runs import PREDICTIONS_FILE
from vssl.scores import FORMER_PICTURES

IGNORED = 255  # of the arrays that probes keep; reports import no data set
_NO_LABEL = (225, 225, 225)
_SCALE_COLOURS = colormaps["viridis_r"]  # low is bright
_SAMPLES = 4


def sample_views(results: dict, work_dir: Path) -> list[dict]:
    """Base view, mask and designed view of each arm's first run that kept them: label, open, rows of tiles, note."""
    arms = []
    for name, arm in results["arms"].items():
        found = _first_file(arm, work_dir, "views.npz")
        rows, note = ([], "No sample views (views.npz) in this arm's runs.") if found is None else _views(*found)
        shown = name in (results["baseline"], results["candidate"])
        arms.append({"label": arm["label"], "open": shown, "rows": rows, "note": note})
    return arms


def _views(path: Path, where: str) -> tuple[list[list], str]:
    arrays = read_arrays(path, ("base", "designed"))
    # (V,N,H,W,3) → one row of tiles: both views of a sample stand side by side
    base, designed = (_side_by_side(arrays[name]) for name in ("base", "designed"))
    if np.array_equal(base, designed):
        rows = [["view", *(image(tile, "view") for tile in base)]]
        return rows, f"The recipe's views as they are, no mask ({where.lower()})."
    rows = [["base view", *(image(tile, "base view") for tile in base)]]
    caption = f"{where}, step {int(arrays['steps'])}." if "steps" in arrays else f"{where}."
    if "mask" in arrays:
        mask = _side_by_side(arrays["mask"].astype(np.float32))
        rows.append(["mask", *(image(_grey(tile), f"mask, mean {tile.mean():.2f}") for tile in mask)])
        caption += (
            f" Mask: white (1) keeps the pixel, black (0) blurs it; mean {mask.mean():.3f}, standard deviation "
            f"{mask.std():.3f}, range {mask.min():.2f} to {mask.max():.2f}."
        )
    else:
        caption += " This designer uses no mask."
    rows.append(["designed view", *(image(tile, "designed view") for tile in designed)])
    return rows, caption


def _side_by_side(views: np.ndarray) -> np.ndarray:
    views = views[:2, :_SAMPLES]
    return np.swapaxes(views, 0, 1).reshape(-1, *views.shape[2:])


def _grey(mask: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    return np.repeat((255 * np.clip(mask, 0, 1)).round().astype(np.uint8)[..., None], 3, axis=-1)


def predictions(results: dict, work_dir: Path) -> dict:
    """Predictions of the same images by the start checkpoint and by every arm: `kinds`, or `nothing` and why.

    Every ``<kind>_pred`` of the files is a kind of prediction: integers are classes (255: no label), floats a positive
    quantity (0 or not finite: no label).
    """
    arms = [results["start"], *results["arms"].values()]
    found = {arm["label"]: _first_file(arm, work_dir, f"probes/{PREDICTIONS_FILE}") for arm in arms}
    kept = {label: read_arrays(file[0]) for label, file in found.items() if file is not None}
    if not kept:
        return {"nothing": f"No predictions (probes/{PREDICTIONS_FILE}) were kept by the runs.", "kinds": []}
    without = [f"{label} kept no predictions" for label in found if label not in kept]
    return {"nothing": "", "kinds": [_kind(kept, kind, without) for kind in _kinds(kept)]}


def _kind(kept: dict[str, dict], kind: str, without: list[str]) -> dict:
    columns, skipped = _columns(kept, kind)
    title, unit = next(_title_and_unit(arrays, kind) for arrays in kept.values() if f"{kind}_pred" in arrays)
    told = {"title": title, "nothing": "", "skipped": skipped + without, "legend": None}
    if not columns:
        return told | {"nothing": f"No images were kept beside the predictions of {title.lower()}."}
    if np.issubdtype(next(iter(columns.values()))["pred"].dtype, np.integer):
        return told | _classes(columns, title.lower())
    return told | _quantity(columns, title.lower(), unit)


def _kinds(kept: dict[str, dict]) -> list[str]:
    """Kinds of predictions, in the order of the files."""
    return list(
        dict.fromkeys(name[: -len("_pred")] for arrays in kept.values() for name in arrays if name.endswith("_pred"))
    )


def _title_and_unit(arrays: dict[str, np.ndarray], kind: str) -> tuple[str, str]:
    title, unit = FORMER_PICTURES.get(kind, (kind, ""))
    return str(arrays.get(f"{kind}_title", title)), str(arrays.get(f"{kind}_unit", unit))


def _columns(kept: dict[str, dict], kind: str) -> tuple[dict[str, dict], list[str]]:
    """``{arm label: {"image", "label", "pred", "classes"}}`` of one kind, and what is left out because the arm was
    probed on other images than the first."""
    columns: dict[str, dict] = {}
    skipped = []
    for label, arrays in kept.items():
        if f"{kind}_pred" not in arrays:
            continue
        image_key = f"{kind}_image" if f"{kind}_image" in arrays else "image"
        if image_key not in arrays:
            skipped.append(f"{label} kept no images beside its predictions")
            continue
        column = {"image": arrays[image_key], "label": arrays.get(f"{kind}_label"), "pred": arrays[f"{kind}_pred"]}
        column["classes"] = [
            str(name) for name in arrays.get(f"{kind}_classes", arrays.get("classes", arrays.get("class_names", ())))
        ]
        first = next(iter(columns.values()), column)
        if np.array_equal(first["image"], column["image"]):
            columns[label] = column
        else:
            skipped.append(f"{label} was probed on other images")
    return columns, skipped


def _classes(columns: dict[str, dict], title: str) -> dict:
    first, maps = _label_and_predictions(columns)
    names = first["classes"]
    shown = sorted({int(c) for _, classes in maps for c in np.unique(classes)} - {IGNORED})
    palette = class_colours(max([len(names), *(c + 1 for c in shown)], default=1))
    rows = [
        [
            image(first["image"][i], "image"),
            *(image(paint(c[i], palette), f"{label}, {title}") for label, c in maps),
        ]
        for i in range(min(_SAMPLES, len(first["image"])))
    ]
    legend = [(_css(palette[c].tolist()), names[c] if c < len(names) else f"class {c}") for c in shown]
    legend.append((_css(_NO_LABEL), "no label"))
    return {"header": ["image", *(label for label, _ in maps)], "rows": rows, "legend": legend}


def _quantity(columns: dict[str, dict], title: str, unit: str) -> dict:
    first, maps = _label_and_predictions(columns)
    known = maps[0][1][maps[0][1] > 0]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    rows = [
        [
            image(first["image"][i], "image"),
            *(image(scale_colours(d[i], low, high), f"{label}, {title}") for label, d in maps),
        ]
        for i in range(min(_SAMPLES, len(first["image"])))
    ]
    colours = [_css([int(255 * c) for c in _SCALE_COLOURS(x)[:3]]) for x in np.linspace(0, 1, 9)]
    ends = {"low": f"{low:.2f} {unit}", "high": f"{high:.2f} {unit}"}
    return {"header": ["image", *(label for label, _ in maps)], "rows": rows, "colours": colours, **ends}


def _label_and_predictions(columns: dict[str, dict]) -> tuple[dict, list[tuple[str, np.ndarray]]]:
    first = next(iter(columns.values()))
    maps = [("label", first["label"]), *((label, column["pred"]) for label, column in columns.items())]
    return first, [(label, values[:_SAMPLES]) for label, values in maps if values is not None]


def _css(colour: Sequence[int]) -> str:
    red, green, blue = colour
    return f"rgb({red},{green},{blue})"


def class_colours(count: int) -> UInt8[np.ndarray, "classes 3"]:
    """Colours that stay apart for neighbouring class numbers: steps of the golden angle, three brightness levels."""
    index = np.arange(count)
    hue = (0.58 + index * 0.61803398875) % 1.0
    saturation, value = np.array([0.55, 0.8, 0.35])[index % 3], np.array([0.9, 0.65, 0.98])[index % 3]
    return (255 * hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))).round().astype(np.uint8)


def paint(
    classes: Integer[np.ndarray, "height width"], palette: UInt8[np.ndarray, "classes 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Class numbers as colours; 255 (ignored) is light grey."""
    ignored = classes == IGNORED
    colours = palette[np.where(ignored, 0, classes)]
    colours[ignored] = _NO_LABEL
    return colours


def scale_colours(
    values: Float[np.ndarray, "height width"], low: float, high: float
) -> UInt8[np.ndarray, "height width 3"]:
    """A positive quantity as colours between `low` and `high`; 0 and what is not finite (no label) are light grey."""
    known = np.isfinite(values) & (values > 0)
    scaled = np.clip((np.where(known, values, low) - low) / max(high - low, 1e-6), 0, 1)
    colours = (255 * _SCALE_COLOURS(scaled)[..., :3]).round().astype(np.uint8)
    colours[~known] = _NO_LABEL
    return colours


def read_arrays(path: Path, needed: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """All arrays of an npz file; ValueError with the file's name when it is damaged or lacks one of `needed`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable npz file ({error})") from error
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)} (it has: {', '.join(arrays) or 'nothing'})")
    return arrays


def _first_file(arm: dict, work_dir: Path, name: str) -> tuple[Path, str] | None:
    for seed, run in arm["runs"].items():
        path = work_dir / run["run_dir"] / name
        if path.is_file():
            return path, f"Seed {seed}"
    return None
