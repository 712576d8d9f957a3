"""Which images, and which sources of the stream, `ImageWeights` lets count most and least."""

from html import escape

from vssl.reports.markup import absent, table
from vssl.reports.policy.panel import tile
from vssl.reports.policy.record import Record


def image_worth_section(record: Record) -> str:
    """Empty for designers that weight no images."""
    if record.image_worth is None:
        return ""
    told, rows = record.image_worth, []
    for end in ("most", "least"):
        pictures = record.image_worth_pictures[end]
        tiles = [
            f"{tile(picture, entry['name'])}<small>{escape(entry['name'])}<br>{entry['weight']:.3f}</small>"
            for picture, entry in zip(pictures, told[end], strict=True)
        ]
        rows.append([f"count {end}", *tiles])
    note = absent(
        f"Weights at step {told['step']} of {told['images']} images, spread evenly over the unlabeled set; their mean "
        "is 1. A weight says what the designer chose, within its bound, not how sure one can be of it."
    )
    return table([], rows, "tiles") + _sources(told["sources"]) + note


def _sources(sources: list[dict]) -> str:
    if not sources:
        return ""
    rows = [
        [
            escape(row["name"]),
            f"{row['mean']:.3f}" + ("" if row["se"] is None else f" ± {row['se']:.3f}"),
            str(row["images"]),
        ]
        for row in sources
    ]
    return table(["source", "mean weight ± standard error", "images looked at"], rows)


def image_worth_findings(record: Record) -> list[str]:
    """A sentence for the top of the page; none for designers that weight no images."""
    if record.image_worth is None:
        return []
    most, least = (record.image_worth[end][0]["weight"] for end in ("most", "least"))
    line = f"Images: weights from {least:.2f} to {most:.2f}, mean 1"
    sources = record.image_worth["sources"]
    told = "; by source " + ", ".join(f"{row['name']} {row['mean']:.2f}" for row in sources) if sources else ""
    return [line + told + "."]
