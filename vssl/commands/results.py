"""Keep results of many runs and probes, and ask for them (docs/results_store.md)."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from vssl.commands import run_command

DEFAULT = "results.sqlite"


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    store = argparse.ArgumentParser(add_help=False)
    where = f"a file, or a URL as SQLAlchemy reads it (default: $VSSL_RESULTS, or {DEFAULT})"
    store.add_argument("--store", metavar="FILE", help=where)
    which = argparse.ArgumentParser(add_help=False)
    for name, what in (
        ("arm", "runs of this arm"), ("objective", "e.g. SimCLR"), ("designer", "e.g. 'Masked*'"),
        ("probe", "a probe's name in its config"), ("model", "timm's name"), ("backbone", "a label or a file"),
        ("protocol", "the beginning of a protocol's digest"),
    ):  # fmt: skip
        which.add_argument(f"--{name}", metavar="PATTERN", help=f"{what}; * and ? stand for letters")

    add = commands.add_parser("add", parents=[store], help="record finished runs and probe results")
    add.add_argument("places", nargs="+", type=Path, metavar="FOLDER", help="runs, comparisons, or a probe's results")
    add.add_argument("--replace", action="store_true", help="where other results are recorded, take these instead")
    add.set_defaults(act=_add)
    ls = commands.add_parser("ls", parents=[store, which], help="list runs and probe results")
    ls.set_defaults(act=_list)
    best = commands.add_parser("best", parents=[store, which], help="the best backbones by one score")
    best.add_argument("--metric", required=True, help="a score, e.g. mIoU")
    best.add_argument("--top", type=int, default=5, metavar="N", help="how many of each protocol (default: 5)")
    best.set_defaults(act=_best)
    compare = commands.add_parser("compare", parents=[store], help="what two of them do and score differently")
    for name in ("A", "B"):
        compare.add_argument(name, help="an arm, a label, a backbone, or the beginning of an id of ls")
    compare.set_defaults(act=_compare)
    export = commands.add_parser("export", parents=[store, which], help="CSV with a line per score, or JSON")
    export.add_argument("--format", choices=("csv", "json"), default="csv")
    export.add_argument("--out", type=Path, help="a file (default: standard output)")
    export.set_defaults(act=_export)
    page = commands.add_parser("leaderboard", parents=[store, which], help="write a page of tables, one file")
    page.add_argument("--out", type=Path, default=Path("leaderboard.html"), help="default: leaderboard.html")
    page.add_argument("--title", default="Leaderboard")
    page.set_defaults(act=_leaderboard)
    return whole


def _add(options: argparse.Namespace) -> None:
    from vssl.compat import add_note
    from vssl.results.automatic import add, told

    if missing := [place for place in options.places if not Path(place).exists()]:
        raise FileNotFoundError(f"{missing[0]} does not exist; give a run, a comparison, or a file of probe results")
    store = _store(options, create=True)
    scan, added = add(store, options.places, options.replace)
    counts = {"new": added.new, "there already": added.same, "replaced": added.replaced}
    said = ", ".join(f"{len(entries)} {what}" for what, entries in counts.items() if entries) or "nothing"
    print(f"{store.shown}: {said}")
    for folder in scan.unfinished:
        print(f"not finished, left out: {folder}")
    if lines := told(scan, added):
        error = ValueError(f"{len(lines)} results were not recorded")
        for line in lines:
            add_note(error, line)
        if added.changed:
            add_note(error, "To record them in place of the others: the same command with --replace")
        raise error


def _list(options: argparse.Namespace) -> None:
    from vssl.results.lists import list_probes, list_runs
    from vssl.results.measurements import measurements, select_runs

    store, filters = _store(options), _filters(options)
    found, runs = measurements(store, filters), select_runs(store.runs(), filters)
    if not any(filters[key] for key in ("probe", "model", "backbone", "protocol")):
        print(list_runs(runs), end="\n\n")
    print(list_probes(found))


def _best(options: argparse.Namespace) -> None:
    from vssl.results.lists import best
    from vssl.results.measurements import measurements

    if options.top < 1:
        raise ValueError(f"--top {options.top}: 1 or more is needed")
    print(best(measurements(_store(options), _filters(options)), options.metric, options.top))


def _compare(options: argparse.Namespace) -> None:
    from vssl.results.differences import compare, find
    from vssl.results.measurements import groups, measurements

    store = _store(options)
    candidates = groups(measurements(store), store.runs())
    print("\n".join(compare(find(candidates, options.A), find(candidates, options.B))))


def _export(options: argparse.Namespace) -> None:
    from vssl.results.exporting import as_csv, as_json
    from vssl.results.measurements import measurements, select_runs
    from vssl.whole_files import write_text

    store, filters = _store(options), _filters(options)
    found = measurements(store, filters)
    text = as_csv(found) if options.format == "csv" else as_json(found, select_runs(store.runs(), filters))
    if options.out is None:
        print(text, end="")
        return
    write_text(options.out, text)
    print(f"{options.out}: {len(found)} results")


def _leaderboard(options: argparse.Namespace) -> None:
    from vssl.results.leaderboard import write_leaderboard

    store = _store(options)
    print(write_leaderboard(store, options.out, options.title, _filters(options)))


def _store(options: argparse.Namespace, create: bool = False):
    from vssl.results.automatic import VARIABLE
    from vssl.results.store import Store

    return Store(options.store or os.environ.get(VARIABLE) or DEFAULT, create)


def _filters(options: argparse.Namespace) -> dict[str, str | None]:
    from vssl.results.measurements import FILTERS

    filters = {key: getattr(options, key) for key in FILTERS}
    return filters | {"protocol": filters["protocol"] and f"{filters['protocol']}*"}


def execute(options: argparse.Namespace) -> None:
    options.act(options)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv)
