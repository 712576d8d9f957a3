"""Which images, and which sources of the stream, are worth most and least to `ImageWeights` and `SourceWeights`."""

import numpy as np
from jaxtyping import UInt8

from vssl.reports.policy.panel import tile
from vssl.reports.policy.record import Record

_VERBS = {"weight": "count", "credit": "worth"}
_NOTES = {
    "weight": "their mean is 1. A weight says what the designer chose, within its bound, not how sure one can be of "
    "it.",
    "credit": "their mean is 0. Credit is how much the value of one step rises per unit of an image's share of the "
    "loss, in the recipe's views of these images, under the last g_down.",
}


def image_worth(record: Record) -> dict | None:
    """The images that count most and least, and the sources; None for designers that weight no images."""
    if record.image_worth is None:
        return None
    told = record.image_worth
    measure = _measure(told)
    ends = [(end, _entries(told[end], measure, record.image_worth_pictures[end])) for end in ("most", "least")]
    sources = [
        [
            row["name"],
            _shown(row["mean"], measure) + ("" if row["se"] is None else f" ± {_shown(row['se'], measure, sign='')}"),
            str(row["images"]),
        ]
        for row in told["sources"]
    ]
    note = (
        f"{measure.capitalize()} at step {told['step']} of {told['images']} images, spread evenly over the unlabeled "
        f"set; {_NOTES[measure]}"
    )
    return {"verb": _VERBS[measure], "measure": measure, "ends": ends, "sources": sources, "note": note}


def _entries(
    told: list[dict], measure: str, pictures: UInt8[np.ndarray, "images height width 3"]
) -> list[dict[str, str]]:
    return [
        {"name": entry["name"], "worth": _shown(entry[measure], measure), "picture": tile(picture, entry["name"])}
        for picture, entry in zip(pictures, told, strict=True)
    ]


def _measure(told: dict) -> str:
    return told.get("measure", "weight")  # runs of earlier versions do not say


def _shown(value: float, measure: str, sign: str = "+") -> str:
    return f"{value:.3f}" if measure == "weight" else f"{value:{sign}.1e}"


def image_worth_findings(record: Record) -> list[str]:
    """A sentence for the top of the page; none for designers that weight no images."""
    if record.image_worth is None or _measure(record.image_worth) != "weight":
        return []
    most, least = (record.image_worth[end][0]["weight"] for end in ("most", "least"))
    line = f"Images: weights from {least:.2f} to {most:.2f}, mean 1"
    sources = record.image_worth["sources"]
    told = "; by source " + ", ".join(f"{row['name']} {row['mean']:.2f}" for row in sources) if sources else ""
    return [line + told + "."]
