"""What a designer learned, as one HTML file that needs nothing beside it, and as PNGs for papers."""

from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from vssl.reports.drawing import to_png, to_svg
from vssl.reports.markup import absent, document, figure, paragraph, section, table
from vssl.reports.metrics import format_number
from vssl.reports.one_step_figures import one_step_figure, one_step_table
from vssl.reports.policy.findings import findings
from vssl.reports.policy.image_worth_section import image_worth_section
from vssl.reports.policy.ingredients import choices_of, credit_figure, credits_of, weights_of, worth_of
from vssl.reports.policy.magnitude_figures import (
    gates_figure,
    magnitudes_figure,
    strengths_figure,
    sweeps_figure,
    views_of,
)
from vssl.reports.policy.mask_figures import mask_figure
from vssl.reports.policy.panel import matched_random_figure, matched_random_section, panel_figure, panel_section
from vssl.reports.policy.patch_section import patch_section
from vssl.reports.policy.record import Record, read_record
from vssl.reports.policy.sources import source_section, sources_figure
from vssl.reports.statistics import whole_run
from vssl.reports.value_figures import gradient_figure, value_figure
from vssl.whole_files import write_text


def write_policy_page(run: str | Path, out: str | Path | None = None, png_dir: str | Path | None = None) -> Path:
    """Write the page about a run's designer; returns its path.

    Args:
        run: a run directory.
        out: the page; default ``policy.html`` in the run directory.
        png_dir: a folder for the figures as PNGs; None for none.

    Raises:
        FileNotFoundError, ValueError: see `read_record`; nothing is written then.
    """
    record = read_record(run)
    page = Path(out) if out is not None else record.path / "policy.html"
    html = render_policy_page(record)
    write_text(page, html)
    if png_dir is not None:
        Path(png_dir).mkdir(parents=True, exist_ok=True)
        for name, drawn in paper_figures(record).items():
            (Path(png_dir) / f"{name}.png").write_bytes(to_png(drawn, dpi=200))
    return page


def render_policy_page(record: Record) -> str:
    body = [
        _head(record),
        section("The panel over training time", panel_section(record)),
        section("What the policy draws from", _policy(record)),
        *([section(_INGREDIENTS, ingredients)] if (ingredients := _ingredients(record)) else []),
        *([section("Sources of the stream", sources)] if (sources := source_section(record.policy)) else []),
        *([section("Which images count", images)] if (images := image_worth_section(record)) else []),
        *([section("Which patches are worth it", maps)] if (maps := patch_section(record.patch_credit)) else []),
        section("The value over training time", _value(record)),
        section("∂V/∂parameter: signal or noise?", _gradient(record)),
        section("Does the predicted drop happen?", _one_step(record)),
        section("What the mask hides", _mask(record)),
        section("Learned against matched-random views", matched_random_section(record)),
        section("How it was recorded", _recorded(record)),
    ]
    return document(_title(record), "\n".join(body))


def paper_figures(record: Record) -> dict[str, Figure]:
    """Every figure of the page by file name, those that the record has."""
    found: dict[str, Figure | None] = {"panel": panel_figure(record), "matched_random": matched_random_figure(record)}
    for view, name in enumerate(views_of(record.policy)):
        stem = name.replace(" ", "_")
        found[f"magnitudes_{stem}"] = magnitudes_figure(record.policy, view)
        found[f"gates_{stem}"] = gates_figure(record.policy, view)
        found[f"sweeps_{stem}"] = sweeps_figure(record.sweeps, record.policy, view)
    found |= {
        "strengths": strengths_figure(record.policy),
        "credit": credit_figure(record.metrics),
        "sources": sources_figure(record.policy),
        "value": value_figure(record.metrics),
        "gradient": gradient_figure(record.policy),
        "one_step": one_step_figure(record.one_step),
        "mask": mask_figure(record.mask_analysis or {}),
    }
    return {name: drawn for name, drawn in found.items() if drawn is not None}


def _title(record: Record) -> str:
    return f"What the designer learned: {record.info.get('arm', record.path.name)}, seed {record.info.get('seed', '–')}"


def _head(record: Record) -> str:
    info = record.info
    about = [f"{info.get('designer', 'designer')} with {info.get('objective', 'an unknown objective')}"]
    about += [f"{info.get('steps', '–')} steps in {format_number(info.get('seconds'), 0)} s"]
    about += ["finished" if info.get("finished") else f"not finished, last snapshot at step {record.last.step}"]
    head = f"<h1>{escape(_title(record))}</h1>\n{paragraph(', '.join(about) + '.', 'soft')}\n"
    lines = "".join(f"<li>{escape(line)}</li>" for line in findings(record))
    return head + (f'<div class="verdict"><ul class="details marked">{lines}</ul></div>' if lines else "")


def _policy(record: Record) -> str:
    names, strengths = views_of(record.policy), strengths_figure(record.policy)
    if strengths is not None:
        caption = "Expected strength of each magnitude under the search's distribution; dashed: 1, the recipe itself."
        return figure(to_svg(strengths, "strengths"), caption, "")
    if not names:
        return absent("This designer has no policy: the recipe's magnitudes and gates stay as they are.")
    parts = [_policy_of(record, view) for view in range(len(names))]
    shown = [f"<h3>{escape(names[0].capitalize())}</h3>{parts[0]}"]
    shown += [
        f"<details><summary>{escape(name.capitalize())}</summary>{part}</details>"
        for name, part in zip(names[1:], parts[1:], strict=True)
    ]
    return "\n".join(shown)


def _policy_of(record: Record, view: int) -> str:
    magnitudes, gates = magnitudes_figure(record.policy, view), gates_figure(record.policy, view)
    strips = sweeps_figure(record.sweeps, record.policy, view)
    parts = [
        figure(magnitudes and to_svg(magnitudes, f"magnitudes-{view}"), _MAGNITUDES, "No magnitudes were recorded."),
        figure(gates and to_svg(gates, f"gates-{view}"), _GATES, "No gates were recorded."),
        figure(strips and to_svg(strips, f"sweeps-{view}"), _SWEEPS, "The run kept no sweep strips (sweeps.npz)."),
    ]
    return "\n".join(parts)


_INGREDIENTS = "What the loss is made of, or which option was taken"
_MAGNITUDES = (
    "Magnitudes are drawn uniformly from the blue band; those that moved most come first. In brackets the range that "
    "the operation allows, grey dashed: the initial ends, dotted: the value that leaves an image as it is. Lighter "
    "bands around the ends: spread over the panel's images, for policies that look at the image."
)
_GATES = "Probability with which each operation is applied; grey dashed: at the start."
_SWEEPS = (
    "One panel image over the whole range of each magnitude, everything else at rest. Below: where the magnitude was "
    "drawn from at the start (grey) and at the last snapshot (blue); dotted: the value that changes nothing."
)


def _ingredients(record: Record) -> str:
    """Weights and credit of the parts of the loss, or the options; empty for designers that leave the loss as it is."""
    weights, credits = weights_of(record.metrics), credits_of(record.metrics)
    if choices := choices_of(record.metrics):
        worth = worth_of(record.metrics)
        ordered = sorted(choices, key=lambda name: -worth.get(name, 0.0))
        rows = [
            [escape(name), f"{worth[name]:+.4f}" if name in worth else "–", f"{100 * choices[name]:.0f} %"]
            for name in ordered
        ]
        note = "The value when the designer last asked: options that halving left behind have that of fewer steps."
        return table(["option", "value", "share of the run"], rows) + paragraph(note, "soft")
    if not weights and not credits:
        return ""
    rows = []
    for name in sorted(weights.keys() | credits.keys()):
        before, after = (f"{share:.3f}" for share in weights[name]) if name in weights else ("–", "–")
        found = credits.get(name)
        told = "–" if found is None else f"{found.mean:+.2e} [{found.low:+.2e}, {found.high:+.2e}]"
        rows.append([escape(name), before, after, told])
    drawn = credit_figure(record.metrics)
    caption = (
        "Credit: how much the value rises per unit of weight. Orange: less of this part is worth more. Grey: cannot be "
        "told from 0. Intervals allow for the correlation of one logged mean with the next."
    )
    shown = figure(drawn and to_svg(drawn, "credit"), caption, "The log has no credit of the loss's parts.")
    return shown + table(
        ["part of the loss", "share, first logged", "share, last logged", "credit, 95 % interval"], rows
    )


def _value(record: Record) -> str:
    drawn = value_figure(record.metrics)
    caption = (
        "Thin: as logged, means over a log interval; thick: moving mean. A dot-product value can rise by a growing "
        "‖g_pre‖ alone: read it beside the cosine. A cosine between tasks below 0: they pull the designer apart."
    )
    instead = "The log has no values: the designer was not trained in this run, or metrics.jsonl is missing."
    return figure(drawn and to_svg(drawn, "value"), caption, instead)


def _gradient(record: Record) -> str:
    drawn = gradient_figure(record.policy)
    if drawn is None:
        return _gradient_norms(record)
    caption = (
        "Offsets are the parameters themselves, in logits of a number's place in its range; positive: more of it is "
        "worth more. The gradient is that of V − penalties. Standard errors are over meta steps and allow for the "
        "correlation of one meta step with the next (g_down may be a running mean). With N parameters about 5 % of N "
        "lie outside the grey band by chance."
    )
    rows = [
        [escape(row["label"]), f"{row['mean']:+.2e}", f"{row['se']:.1e}", format_number(row["z"], 1, signed=True)]
        for row in whole_run(record.policy)
    ]
    numbers = table(["offset", "mean of ∂V", "SE", "mean / SE"], rows)
    return figure(to_svg(drawn, "gradient"), caption, "") + f"<details><summary>Numbers</summary>{numbers}</details>"


def _gradient_norms(record: Record) -> str:
    rows = []
    for row in record.policy:
        norm = row.get("gradient", {}).get("norm")
        if norm:
            se = "–" if norm["se"] is None else f"{norm['se']:.1e}"
            rows.append([str(row["step"]), str(row["gradient"]["meta_steps"]), f"{norm['mean']:.3e}", se])
    if not rows:
        return absent("No gradient of the designer was recorded: it was not trained by gradients in this run.")
    note = "The designer is a network, whose weights mean nothing one by one: only the norm of its gradient is shown."
    return absent(note) + table(["up to step", "meta steps", "mean of ‖∂(penalty − V)/∂φ‖", "SE"], rows)


def _one_step(record: Record) -> str:
    if not record.one_step:
        return absent(
            "The run made no one-step probe. It is off by default; ask for it with one_step_probe=dict(interval=50) "
            "and a third part of labeled images, heldout=N, in each of feedback.pools."
        )
    drawn = one_step_figure(record.one_step)
    caption = (
        "Predicted: −⟨g_down, update⟩ over the aligned parameters S, g_down from the meta pool. Realised: the fall of "
        "the loss on a third labeled batch when S moves by that update, on a copy of the learner. SGD takes a step as "
        "long as AdamW's for the base views. Untrained views: the designer as this run began; flipped: its parameters "
        "reflected about that start, 2φ₀ − φ. Kinds share the batches of a one-step probe, so they are correlated."
    )
    return figure(drawn and to_svg(drawn, "one-step"), caption, "") + one_step_table(record.one_step)


def _mask(record: Record) -> str:
    if record.last.mask is None:
        return absent("This designer uses no mask.")
    if not record.mask_analysis:
        return absent(
            "No analysis of the mask (mask_analysis.json): the run has not ended, or it had no feedback whose labeled "
            "images the mask could be laid over."
        )
    drawn = mask_figure(record.mask_analysis)
    caption = (
        f"The final mask on {record.mask_analysis.get('images', '–')} labeled images of the feedback pools, without "
        "augmentation; labels were joined afterwards, the designer never sees them. Bars: 95 % intervals over images. "
        "Variance: orange and blue depend on the image; grey is one fixed pattern laid over every image."
    )
    return figure(drawn and to_svg(drawn, "mask"), caption, "The analysis holds nothing to draw.")


def _recorded(record: Record) -> str:
    cost = sum(row.get("cost_seconds", 0.0) for row in record.policy)
    cost = cost or sum(snapshot.cost_seconds for snapshot in record.snapshots)
    total = record.info.get("seconds") or record.last.seconds
    share = f", {100 * cost / total:.2f} % of {total:.0f} s of training" if total else ""
    rows = [
        ["run", escape(str(record.path))],
        ["snapshots", f"{len(record.snapshots)}, steps {', '.join(str(s.step) for s in record.snapshots)}"],
        ["time for snapshots", f"{cost:.2f} s{share}; not counted in the budget"],
        ["one-step probes", str(len({row["step"] for row in record.one_step}))],
        ["panel", escape(", ".join(record.names))],
        ["budget", escape(", ".join(f"{n} {unit}" for unit, n in record.info.get("budget", {}).items())) or "–"],
        ["vssl", escape(str(record.info.get("vssl_version", "–")))],
    ]
    return table(["", ""], rows, "words")
