"""The leaderboard as one HTML file that needs nothing beside it."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from scipy import stats

from vssl.reports.markup import environment
from vssl.results.measurements import groups, measurements
from vssl.results.standings import backbone_tables, steered_tables
from vssl.results.store import Store
from vssl.whole_files import write_text

_LEVEL = 0.975  # two-sided 95 %


def write_leaderboard(store: Store, path: Path, title: str, filters: Mapping[str, str | None]) -> Path:
    """Write the page of the results that `filters` lets through.

    Raises:
        ValueError: there is none.
    """
    found = measurements(store, filters)
    if not found:
        raise ValueError(f"{store.shown} has no such probe results; vssl results ls shows what it has")
    (steered, unmatched), backbones = steered_tables(found), backbone_tables(found)
    every = groups(found)
    named = {f"steered{place}": table for place, table in enumerate(steered, start=1)}
    named |= {f"probe{place}": table for place, table in enumerate(backbones, start=1)}
    templates = environment(Path(__file__).parent / "templates")
    templates.filters["plain"] = _plain
    page = templates.get_template("leaderboard.html").render(
        title=title,
        store=Path(store.shown).name if "://" not in store.shown else store.shown,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        groups=len(every),
        steered=steered,
        unmatched=unmatched,
        backbones=backbones,
        data={
            "columns": {name: table["columns"] for name, table in named.items()},
            "groups": {group.key: {"name": group.name, "settings": group.settings} for group in every},
            "scores": {
                f"{name}:{row['key']}": [cell["per_seed"] for cell in row["cells"]]
                for name, table in named.items()
                for row in table["rows"]
            },
            "quantiles": [float(stats.t.ppf(_LEVEL, df)) for df in range(1, max(2, *_seeds(named.values())))],
        },
    )
    write_text(path, page)
    return path


def _seeds(tables) -> list[int]:
    return [row["n"] for table in tables for row in table["rows"]]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_plain(inner)}" for key, inner in value.items())
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
