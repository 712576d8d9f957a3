"""How much of what there was to gain did an arm gain: (arm − baseline) / (best fixed recipe − baseline)."""

from vssl.reports.metrics import format_difference, format_number, scores_of
from vssl.reports.statistics import ENOUGH_PAIRS, paired_difference, ratio_of_means

NONE = "no headroom measured"


def add_headroom(results: dict) -> None:
    """Give every arm but the two ends ``headroom.<probe/score>``: share, low, high, n, seeds, and `why` without one.

    Nothing is added when the comparison names no headroom arm.
    """
    if not results["headroom"]:
        return
    ends = [results["arms"][results[role]] for role in ("baseline", "headroom")]
    for arm in results["arms"].values():
        if not any(arm is end for end in ends):
            shares = {m["key"]: _share(m, arm, *ends) for m in results["metrics"]}
            arm["headroom"] = {key: share for key, share in shares.items() if share is not None}


def _share(metric: dict, arm: dict, baseline: dict, best: dict) -> dict | None:
    """The share over the seeds that all three have; None without such a seed.

    The ratio is given only where the best recipe's own gain stands (right direction, interval without zero): that is
    also where Fieller's interval is bounded. A share of a headroom that may be nothing could be any number.
    """
    ours, low, high = (scores_of(one, metric["key"]) for one in (arm, baseline, best))
    seeds = sorted(set(ours) & set(low) & set(high))
    if not seeds:
        return None
    share = {"share": None, "low": None, "high": None, "n": len(seeds), "seeds": seeds, "why": None}
    if len(seeds) < ENOUGH_PAIRS:
        return share | {"why": "too few seeds to tell"}
    headroom = paired_difference({seed: high[seed] for seed in seeds}, low)
    sign = {True: -1, False: 1, None: 0}[metric["lower_is_better"]]
    if min(sign * headroom.low, sign * headroom.high) <= 0:
        return share | {"why": NONE}
    ratio = ratio_of_means([ours[s] - low[s] for s in seeds], [high[s] - low[s] for s in seeds])
    return share | dict(zip(("share", "low", "high"), ratio, strict=True))


def format_share(share: dict | None) -> str:
    """``45 % [12, 88]``, why there is none, or ``–``."""
    if share is None:
        return "–"
    if share["share"] is None:
        return share["why"]
    middle, low, high = (format_number(100 * share[key], 0) for key in ("share", "low", "high"))
    return f"{middle} % [{low}, {high}]"


def headroom_line(results: dict) -> str | None:
    """The candidate's shares over the headline metrics, in a sentence; None where no headroom is asked for."""
    candidate = results["arms"][results["candidate"]]
    if "headroom" not in candidate:
        return None
    shares = [
        f"{metric['title']} {format_share(candidate['headroom'].get(metric['key']))}"
        for metric in results["metrics"]
        if metric["headline"]
    ]
    best = results["arms"][results["headroom"]]["label"]
    return f"{candidate['label']}, share of the headroom to {best} recovered: {'; '.join(shares) or 'no score yet'}."


def headroom_table(results: dict) -> dict | None:
    """The table of every arm's shares; None where no headroom is asked for."""
    if not results["headroom"]:
        return None
    baseline, best = (results["arms"][results[role]] for role in ("baseline", "headroom"))
    metrics = [metric for metric in results["metrics"] if metric["headline"]]
    rows = [[f"the headroom: {best['label']}", *(_own(best, metric) for metric in metrics)]]
    for arm in results["arms"].values():
        if "headroom" in arm:
            rows.append([arm["label"], *(format_share(arm["headroom"].get(m["key"])) for m in metrics)])
    header = ["", *(metric["title"] for metric in metrics)]
    return {"baseline": baseline["label"], "best": best["label"], "header": header, "rows": rows}


def _own(best: dict, metric: dict) -> str:
    difference = best["difference"].get(metric["key"])
    return format_difference(difference, metric["digits"]) if difference else "–"
