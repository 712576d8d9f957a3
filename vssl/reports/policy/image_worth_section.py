"""Which images, and which sources of the stream, `ImageWeights` lets count most and least."""

import numpy as np
from jaxtyping import UInt8

from vssl.reports.policy.panel import tile
from vssl.reports.policy.record import Record


def image_worth(record: Record) -> dict | None:
    """The images that count most and least, and the sources; None for designers that weight no images."""
    if record.image_worth is None:
        return None
    told = record.image_worth
    ends = [(end, _entries(told[end], record.image_worth_pictures[end])) for end in ("most", "least")]
    sources = [
        [row["name"], f"{row['mean']:.3f}" + ("" if row["se"] is None else f" ± {row['se']:.3f}"), str(row["images"])]
        for row in told["sources"]
    ]
    return {"ends": ends, "sources": sources, "step": told["step"], "images": told["images"]}


def _entries(told: list[dict], pictures: UInt8[np.ndarray, "images height width 3"]) -> list[dict[str, str]]:
    return [
        {"name": entry["name"], "weight": f"{entry['weight']:.3f}", "picture": tile(picture, entry["name"])}
        for picture, entry in zip(pictures, told, strict=True)
    ]


def image_worth_findings(record: Record) -> list[str]:
    """A sentence for the top of the page; none for designers that weight no images."""
    if record.image_worth is None:
        return []
    most, least = (record.image_worth[end][0]["weight"] for end in ("most", "least"))
    line = f"Images: weights from {least:.2f} to {most:.2f}, mean 1"
    sources = record.image_worth["sources"]
    told = "; by source " + ", ".join(f"{row['name']} {row['mean']:.2f}" for row in sources) if sources else ""
    return [line + told + "."]
