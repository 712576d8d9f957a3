"""Which images, and which sources of the stream, are worth most and least to `ImageWeights` and `SourceWeights`."""

from html import escape

from vssl.reports.markup import absent, table
from vssl.reports.policy.panel import tile
from vssl.reports.policy.record import Record

_NOTES = {
    "weight": "their mean is 1. A weight says what the designer chose, within its bound, not how sure one can be of "
    "it.",
    "credit": "their mean is 0. Credit is how much the value of one step rises per unit of an image's weight, in the "
    "recipe's views of these images, under the last g_down.",
}


def image_worth_section(record: Record) -> str:
    """Empty for designers that weight no images."""
    if record.image_worth is None:
        return ""
    told, rows = record.image_worth, []
    measure = _measure(told)
    for end in ("most", "least"):
        pictures = record.image_worth_pictures[end]
        tiles = [
            f"{tile(picture, entry['name'])}<small>{escape(entry['name'])}<br>{_shown(entry[measure], measure)}</small>"
            for picture, entry in zip(pictures, told[end], strict=True)
        ]
        rows.append([{"weight": "count", "credit": "worth"}[measure] + f" {end}", *tiles])
    note = absent(
        f"{measure.capitalize()} at step {told['step']} of {told['images']} images, spread evenly over the unlabeled "
        f"set; {_NOTES[measure]}"
    )
    return table([], rows, "tiles") + _sources(told["sources"], measure) + note


def _measure(told: dict) -> str:
    return told.get("measure", "weight")  # runs of earlier versions do not say


def _shown(value: float, measure: str, sign: str = "+") -> str:
    return f"{value:.3f}" if measure == "weight" else f"{value:{sign}.1e}"


def _sources(sources: list[dict], measure: str) -> str:
    if not sources:
        return ""
    rows = [
        [
            escape(row["name"]),
            _shown(row["mean"], measure) + ("" if row["se"] is None else f" ± {_shown(row['se'], measure, sign='')}"),
            str(row["images"]),
        ]
        for row in sources
    ]
    return table(["source", f"mean {measure} ± standard error", "images looked at"], rows)


def image_worth_findings(record: Record) -> list[str]:
    """A sentence for the top of the page; none for designers that weight no images."""
    if record.image_worth is None or _measure(record.image_worth) != "weight":
        return []
    most, least = (record.image_worth[end][0]["weight"] for end in ("most", "least"))
    line = f"Images: weights from {least:.2f} to {most:.2f}, mean 1"
    sources = record.image_worth["sources"]
    told = "; by source " + ", ".join(f"{row['name']} {row['mean']:.2f}" for row in sources) if sources else ""
    return [line + told + "."]
