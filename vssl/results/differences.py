"""What differs between two backbones: settings, and scores of the same protocol."""

from collections.abc import Sequence
from dataclasses import asdict

from vssl.reports.metrics import format_difference, format_number
from vssl.reports.statistics import paired_difference
from vssl.results.measurements import Group, different_protocols


def find(candidates: Sequence[Group], name: str) -> Group:
    """The group that `name` means: the beginning of the id of one of its runs or results (that one alone), an arm, a
    label, or a backbone.

    Raises:
        ValueError: nothing or more than one thing has it; the message has the ids to choose from.
    """
    found = [group for group in candidates if name in (group.name, *(run["arm"] for run in group.runs))]
    if not found and len(name) >= 4:
        found = [one for group in candidates for one in _by_id(group, name)]
    if not found:
        known = ", ".join(dict.fromkeys(group.name for group in candidates)) or "nothing"
        raise ValueError(f"{name!r} is no arm, backbone or id of the store; it has {known}")
    if len(found) > 1:
        ids = "; ".join(f"{_first_id(group)[:8]} ({group.name})" for group in found)
        raise ValueError(f"{name!r} is {len(found)} groups of runs with other settings, e.g. by id: {ids}")
    return found[0]


def compare(ours: Group, theirs: Group) -> list[str]:
    """Lines: settings that differ, then scores of probes with one protocol and how the others' protocols differ.

    Raises:
        ValueError: no score of the two was made with the same protocol.
    """
    lines = [f"A: {_about(ours)}", f"B: {_about(theirs)}", "", "settings that differ (A, B)"]
    one, other = ours.settings, theirs.settings
    changed = [key for key in {**one, **other} if one.get(key, "–") != other.get(key, "–")]
    lines += [f"  {key}: {one.get(key, '–')}, {other.get(key, '–')}" for key in changed] or ["  none"]
    shared = [key for key in ours.protocols if key in theirs.protocols]
    refused = [_refusal(ours, theirs, probe) for probe in _only_by_name(ours, theirs)]
    if not shared:
        why = "; ".join(refused) or "no probe was run on both"
        raise ValueError(f"no score of {ours.name} and {theirs.name} can be compared: {why}")
    lines += ["", "scores (A, B, A − B over shared seeds with its paired 95 % interval)"]
    for probe, protocol in shared:
        lines += _scores(ours, theirs, probe, protocol)
    return [*lines, *(f"  not compared: {line}" for line in refused)]


def _by_id(group: Group, name: str) -> list[Group]:
    runs = [run for run in group.runs if run["id"].startswith(name)]
    results = [m for m in group.measurements if m.row["id"].startswith(name)]
    results += [m for m in group.measurements if m.run in runs]
    if not runs and not results:
        return []
    return [Group(group.key, group.name, runs or [m.run for m in results[:1] if m.run], results)]


def _first_id(group: Group) -> str:
    return group.runs[0]["id"] if group.runs else group.measurements[0].row["id"]


def _about(group: Group) -> str:
    seeds = sorted({run["seed"] for run in group.runs} or {m.seed for m in group.measurements})
    return f"{group.name}, {group.counted(len(seeds))}: {', '.join(map(str, seeds))}"


def _only_by_name(ours: Group, theirs: Group) -> list[str]:
    """Probes that both have, but with no protocol that both have."""
    both = {probe for probe, _ in ours.protocols} & {probe for probe, _ in theirs.protocols}
    return sorted(both - {probe for probe, protocol in ours.protocols if (probe, protocol) in theirs.protocols})


def _refusal(ours: Group, theirs: Group, probe: str) -> str:
    one, other = (next(m for (name, _), m in group.protocols.items() if name == probe) for group in (ours, theirs))
    return f"{probe} has other protocols ({', '.join(different_protocols(one, other))})"


def _scores(ours: Group, theirs: Group, probe: str, protocol: str) -> list[str]:
    lines = []
    for name, score in ours.protocols[probe, protocol].info.items():
        a, b = (group.per_seed(probe, protocol, name) for group in (ours, theirs))
        if not a or not b:
            continue
        means = (format_number(sum(v.values()) / len(v), score.digits) for v in (a, b))
        shared = set(a) & set(b)
        difference = format_difference(asdict(paired_difference(a, b)), score.digits) if shared else "no shared seed"
        unit = f" {score.unit}" if score.unit else ""
        lines.append(f"  {probe} {name}{unit}: {', '.join(means)}, {difference}")
    return lines
