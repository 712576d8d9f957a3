"""A record of a designer in a few sentences, each with its number."""

from vssl.reports.metrics import format_difference
from vssl.reports.one_step_figures import MILLI, difference_to_base, format_r, select
from vssl.reports.policy.image_worth_section import image_worth_findings
from vssl.reports.policy.ingredients import ingredient_findings
from vssl.reports.policy.magnitude_figures import largest_moves, views_of
from vssl.reports.policy.record import Record
from vssl.reports.policy.sources import source_findings
from vssl.reports.statistics import ENOUGH_PAIRS, correlation, whole_run

# Of a mask in [0, 1]: differences below are not visible in what it blurs.
NEARLY_FLAT = 0.02


def findings(record: Record) -> list[str]:
    """What a reader should know before scrolling; only what the record can say."""
    sources = source_findings(record.policy)
    ingredients = [*ingredient_findings(record.metrics), *sources, *image_worth_findings(record)]
    return [*_moves(record), *ingredients, *_signal(record), *_probe(record), *_mask(record)]


def _moves(record: Record) -> list[str]:
    if not views_of(record.policy):
        return []
    lines = []
    for view, name in enumerate(views_of(record.policy)):
        moves = [move for move in largest_moves(record.policy, view) if move["moved"] > 1e-4]
        if not moves:
            lines.append(f"{name.capitalize()}: nothing has moved from the recipe.")
            continue
        told = "; ".join(f"{m['name']} {_ends(m['before'])} → {_ends(m['after'])}" for m in moves)
        lines.append(f"{name.capitalize()}, moved most: {told}.")
    return lines


def _ends(values: list[float]) -> str:
    shown = [f"{value:.2f}".replace("-", "−") for value in values]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _signal(record: Record) -> list[str]:
    rows = whole_run(record.policy)
    if not rows:
        return []
    clear, chance = [row for row in rows if abs(row["z"]) > 1.96], 0.05 * len(rows)
    line = (
        f"∂V/∂parameter differs from 0 (95 %) for {len(clear)} of {len(rows)} parameters over {rows[0]['n']} meta "
        f"steps; chance alone would give about {chance:.1f}."
    )
    if clear:
        told = ", ".join(f"{row['label']} ({'more' if row['z'] > 0 else 'less'} is worth more)" for row in clear[:3])
        line += f" Clearest: {told}."
    return [line]


def _probe(record: Record) -> list[str]:
    lines = []
    for task in dict.fromkeys(row["task"] for row in record.one_step):
        told = []
        for optimizer, name in (("sgd", "SGD"), ("adamw", "AdamW")):
            rows = select(record.one_step, task=task, optimizer=optimizer, views="designed")
            found = correlation([row["predicted"] for row in rows], [row["realised"] for row in rows])
            if found is not None:
                told.append(f"{format_r(found)} under {name}")
        if told:
            lines.append(f"Predicted against realised drop, {task}, designed views: {', '.join(told)}.")
        rows = select(record.one_step, task=task, optimizer="adamw")
        difference = difference_to_base(select(rows, views="designed"), select(rows, views="base"))
        if difference is not None and difference.n >= ENOUGH_PAIRS:
            unclear = difference.low <= 0 <= difference.high
            outcome = "no clear difference" if unclear else "larger" if difference.mean > 0 else "smaller"
            moved = format_difference({k: MILLI * getattr(difference, k) for k in ("mean", "low", "high")}, 2)
            lines.append(
                f"Drop of the {task} loss by one AdamW step, designed views − base views: {moved} × 10⁻³, {outcome}."
            )
    return lines


def _mask(record: Record) -> list[str]:
    analysis = record.mask_analysis or {}
    lines = []
    rows = sorted(analysis.get("classes", {}).get("rows", []), key=lambda row: row["mean"])
    rows = [row for row in rows if row["images"] >= 5]  # a class in one or two images is an anecdote
    if len(rows) > 1:
        lowest, highest, overall = rows[0], rows[-1], analysis["classes"]["overall"]
        if highest["mean"] - lowest["mean"] < NEARLY_FLAT:
            told = f"from {lowest['mean']:.3f} ({lowest['name']}) to {highest['mean']:.3f} ({highest['name']})"
            lines.append(f"The mask hardly depends on the class: means {told}; over all labeled pixels {overall:.3f}.")
        else:
            lines.append(
                f"The mask hides {lowest['name']} most (mean {lowest['mean']:.2f}) and keeps {highest['name']} most "
                f"({highest['mean']:.2f}); over all labeled pixels {overall:.2f}."
            )
    variance = analysis.get("variance")
    if variance and variance["total"] > 0:
        between = 100 * variance["between_images"] / variance["total"]
        own = between + 100 * variance["image_and_position"] / variance["total"]
        deviation = variance["total"] ** 0.5
        flat = ", so it is nearly flat" if deviation < NEARLY_FLAT else ""
        lines.append(
            f"{own:.0f} % of the mask's variance depends on the image ({between:.0f} % lies between images' means); "
            f"the rest is one pattern for all. Standard deviation of the mask: {deviation:.3f}{flat}."
        )
    return lines
