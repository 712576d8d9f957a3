"""Policies as files: YAML or JSON that people can read, and a fixed recipe that replays them bit for bit."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from vssl.known_keys import refuse_other_format, refuse_unknown
from vssl.views.recipes import Recipe
from vssl.views.space import op_named
from vssl.views.view_plan import GatedOp, ViewPlan
from vssl.whole_files import write_text

FORMAT, VERSION = "vssl-policy", 1
_WINDOW = ("area", "log_ratio", "x", "y")
_VIEW_KEYS = {"size", "window", "flip", "ops"}
_CROP_KEYS = {"interpolation", "redraw"}  # written where they are not a view's defaults
_OP_KEYS = {"op", "low", "high", "probability", "gate"}


class SavedRecipe(Recipe):
    """The fixed recipe of a policy file, so that a policy moves to another backbone or objective by its config.

    Args:
        path: a .json, .yaml or .yml file from `save_policy`.
        global_size, local_size: side of the crops in pixels, if other than the file's.
        n_global, n_local: how many crops, if other than the file's; further ones repeat the file's last.

    Raises:
        ValueError: not a policy file, another version, no view, an unknown op or key, a number outside its range.
    """

    def __init__(
        self,
        path: str | Path,
        global_size: int | None = None,
        local_size: int | None = None,
        n_global: int | None = None,
        n_local: int | None = None,
    ):
        document = _read(Path(path))
        super().__init__(
            _resized(_views(document, "global", path), n_global, global_size, path),
            _resized(_views(document, "local", path), n_local, local_size, path),
        )


def save_policy(recipe: Recipe, path: str | Path, note: str = "") -> None:
    """Writes a recipe, or a learned policy's `as_recipe()` recipe.

    Args:
        path: .json, .yaml or .yml.
        note: kept in the file, e.g. the run it comes from.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "note": note,
        "global": [_view(plan) for plan in recipe.global_plans],
        "local": [_view(plan) for plan in recipe.local_plans],
    }
    text = json.dumps(document, indent=2) if _is_json(Path(path)) else yaml.safe_dump(document, sort_keys=False)
    write_text(Path(path), text)


def _view(plan: ViewPlan) -> dict:
    ops = [
        {"op": g.op.name, "low": g.low, "high": g.high, "probability": g.probability}
        | ({"gate": g.gate} if g.gate else {})
        for g in plan.ops
    ]
    window = {name: list(bounds) for name, bounds in zip(_WINDOW, plan.window, strict=True)}
    crop = {"interpolation": plan.interpolation, "redraw": plan.redraw}
    defaults = {"interpolation": ViewPlan.interpolation, "redraw": ViewPlan.redraw}
    return {"size": plan.size, "window": window, "flip": plan.flip, "ops": ops} | (crop if crop != defaults else {})


def _is_json(path: Path) -> bool:
    if path.suffix not in {".json", ".yaml", ".yml"}:
        raise ValueError(f"{path}: a policy file ends in .json, .yaml or .yml")
    return path.suffix == ".json"


def _read(path: Path) -> Mapping:
    is_json = _is_json(path)
    try:
        text = path.read_text()
        document = json.loads(text) if is_json else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as {'JSON' if is_json else 'YAML'}: {error}") from error
    refuse_other_format(document, (FORMAT, VERSION), path, "a policy file", "save_policy")
    if not document.get("global"):
        raise ValueError(f"{path}: empty policy, 'global' has no view")
    return document


def _views(document: Mapping, kind: str, path: str | Path) -> list[ViewPlan]:
    plans = []
    for number, view in enumerate(document.get(kind) or []):
        where = f"{path}: {kind} view {number}"
        try:
            _keys("view", view, _VIEW_KEYS | _CROP_KEYS, _VIEW_KEYS)
            _keys("window", view["window"], set(_WINDOW), set(_WINDOW))
            window = {name: _pair(view["window"][name], name) for name in _WINDOW}
            ops = tuple(_op(entry) for entry in view["ops"])
            crop = {key: view[key] for key in _CROP_KEYS & view.keys()}
            plans.append(ViewPlan(int(view["size"]), ops, flip=float(view["flip"]), **window, **crop))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error
    return plans


def _op(entry: Mapping) -> GatedOp:
    _keys("op", entry, _OP_KEYS, _OP_KEYS - {"gate"})
    return GatedOp(
        op_named(entry["op"]),
        float(entry["low"]),
        float(entry["high"]),
        float(entry["probability"]),
        entry.get("gate"),
    )


def _pair(value, name: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} is {value!r}; it must be [low, high]")
    return float(value[0]), float(value[1])


def _keys(what: str, given, known: set[str], needed: set[str]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"expected keys {sorted(known)}, got {given!r}")
    if missing := needed - set(given):
        raise ValueError(f"missing keys {sorted(missing)}")
    refuse_unknown(given, known, what)


def _resized(plans: list[ViewPlan], count: int | None, size: int | None, path: str | Path) -> list[ViewPlan]:
    if count and not plans:
        raise ValueError(f"{path}: the file has no crops of the kind of which {count} are wanted")
    if count is not None and plans:
        plans = [plans[min(i, len(plans) - 1)] for i in range(count)]
    return plans if size is None else [replace(plan, size=size) for plan in plans]
