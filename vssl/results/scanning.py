"""From folders to rows: every finished run and every probe result below them."""

from collections.abc import Iterable
from pathlib import Path

from vssl.results.entries import probe_entries, run_entry
from vssl.results.rows import Entry


class Scan:
    """What is below some folders, or in files of probe results.

    Attributes:
        entries: rows; a run comes before the results of its backbone.
        unfinished: folders of runs that have not finished.
        unreadable: what could not be read, a line each.

    Raises:
        FileNotFoundError: a place does not exist, or there is neither a run nor a probe result.
    """

    def __init__(self, places: Iterable[str | Path]):
        self.entries: list[Entry] = []
        self.unfinished: list[Path] = []
        self.unreadable: list[str] = []
        self._runs: dict[Path, str | None] = {}
        folders, results = _files([Path(place) for place in places])
        for folder in folders:
            self._run(folder)
        for file in results:
            try:
                self.entries += probe_entries(file, self._run)
            except (ValueError, OSError) as error:
                self.unreadable.append(str(error))

    def _run(self, folder: Path) -> str | None:
        """The id of a run, which is added when it is met first; None where there is none that has finished."""
        key = folder.absolute()
        if key not in self._runs:
            self._runs[key] = self._add_run(folder) if (folder / "run.json").is_file() else None
        return self._runs[key]

    def _add_run(self, folder: Path) -> str | None:
        try:
            entry = run_entry(folder)
        except (ValueError, OSError) as error:
            self.unreadable.append(str(error))
            return None
        if entry is None:
            self.unfinished.append(folder)
            return None
        self.entries.append(entry)
        return entry.id


def _files(places: list[Path]) -> tuple[list[Path], list[Path]]:
    """Run folders and files of probe results, each once, in order of their names."""
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist; give a run, a comparison, or a file of probe results")
    folders = {file.parent for place in places for file in place.rglob("run.json")}
    results = {file for place in places for file in place.rglob("probes/*.json")}
    results |= {place for place in places if place.is_file()}
    if not folders and not results:
        raise FileNotFoundError(f"no run.json and no probes/*.json below {', '.join(map(str, places))}")
    return sorted(folders), sorted(results)
