"""Read what a run recorded of its designer: panel, snapshots, policy numbers, one-step probe, mask analysis."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from vssl.reports.pictures import read_arrays
from vssl.reports.runs import read_json, read_lines, read_metrics

_FOLDER = "snapshots"


@dataclass(frozen=True)
class Snapshot:
    """The panel at one step. Masks are in [0, 1]; matched_random is what was chosen for the wrong images."""

    step: int
    seconds: float
    cost_seconds: float
    designed: UInt8[np.ndarray, "images height width 3"]
    mask: Float[np.ndarray, "images height width"] | None
    matched_random: UInt8[np.ndarray, "images height width 3"] | None
    matched_random_mask: Float[np.ndarray, "images height width"] | None


@dataclass(frozen=True)
class Record:
    """Everything that a run recorded of its designer; what it did not record is empty or None.

    info: run.json. metrics: rows of metrics.jsonl. policy: rows of policy.jsonl. sweeps: name → (values, images).
    one_step: rows of one_step.jsonl. mask_analysis, image_worth: the files of that name, the latter's pictures by end.
    patch_credit: views and maps of patch_credit.npz.
    """

    path: Path
    info: dict
    metrics: list[dict]
    base: UInt8[np.ndarray, "images height width 3"]
    names: list[str]
    snapshots: list[Snapshot]
    policy: list[dict] = field(default_factory=list)
    sweeps: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    one_step: list[dict] = field(default_factory=list)
    mask_analysis: dict | None = None
    image_worth: dict | None = None
    image_worth_pictures: dict[str, np.ndarray] = field(default_factory=dict)
    patch_credit: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def last(self) -> Snapshot:
        return self.snapshots[-1]


def read_record(run: str | Path) -> Record:
    """The record in a run directory.

    Raises:
        FileNotFoundError: no such directory, or it is not a run's.
        ValueError: the run has no snapshots, or a file is damaged; the message names it.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"{run} does not exist; give a run directory, the --work-dir of tools/train.py")
    if not (run / "run.json").is_file():
        found = ", ".join(sorted(entry.name for entry in run.iterdir())[:6]) or "nothing"
        raise FileNotFoundError(f"{run} is not a run directory: it has no run.json (found: {found})")
    info = read_json(run / "run.json")
    snapshots = [_snapshot(path) for path in sorted((run / _FOLDER).glob("[0-9]*.npz"))]
    if not snapshots or not (run / _FOLDER / "panel.npz").is_file():
        raise ValueError(
            f"{run} has no snapshots. Its designer is {info.get('designer', 'unknown')}; train one that learns "
            "(a policy, a mask, weights, a choice) with snapshots=10 in the config (the default)"
        )
    panel = read_arrays(run / _FOLDER / "panel.npz", ("base", "names"))
    return Record(
        path=run,
        info=info,
        metrics=read_metrics(run / "metrics.jsonl") if (run / "metrics.jsonl").is_file() else [],
        base=panel["base"],
        names=[str(name) for name in panel["names"]],
        snapshots=snapshots,
        policy=read_lines(run / "policy.jsonl"),
        sweeps=_sweeps(run / _FOLDER / "sweeps.npz"),
        one_step=read_lines(run / "one_step.jsonl"),
        mask_analysis=read_json(run / "mask_analysis.json") if (run / "mask_analysis.json").is_file() else None,
        image_worth=read_json(worth) if (worth := run / "image_worth.json").is_file() else None,
        image_worth_pictures=read_arrays(worth.with_suffix(".npz"), ("most", "least")) if worth.is_file() else {},
        patch_credit=read_arrays(patches) if (patches := run / "patch_credit.npz").is_file() else {},
    )


def _snapshot(path: Path) -> Snapshot:
    arrays = read_arrays(path, ("step", "seconds", "designed"))
    return Snapshot(
        int(arrays["step"]),
        float(arrays["seconds"]),
        float(arrays.get("cost_seconds", 0.0)),
        arrays["designed"],
        _unit(arrays.get("mask")),
        arrays.get("matched_random"),
        _unit(arrays.get("matched_random_mask")),
    )


def _unit(mask: np.ndarray | None) -> np.ndarray | None:
    return None if mask is None else mask.astype(np.float32) / 255


def _sweeps(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    arrays = read_arrays(path) if path.is_file() else {}
    names = [key.removeprefix("values/") for key in arrays if key.startswith("values/")]
    return {name: (arrays[f"values/{name}"], arrays[f"strip/{name}"]) for name in names}
