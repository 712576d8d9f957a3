"""What a designer learned, as one HTML file that needs nothing beside it, and as PNGs for papers."""

from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from vssl.reports.drawing import to_png, to_svg
from vssl.reports.markup import render
from vssl.reports.metrics import format_number
from vssl.reports.one_step_figures import one_step_figure, one_step_table
from vssl.reports.policy.credit_over_time import credit_over_time_figure
from vssl.reports.policy.findings import findings
from vssl.reports.policy.image_worth_section import image_worth
from vssl.reports.policy.ingredients import choices_of, credit_figure, credits_of, weights_of, worth_of
from vssl.reports.policy.magnitude_figures import (
    gates_figure,
    magnitudes_figure,
    strengths_figure,
    sweeps_figure,
    views_of,
)
from vssl.reports.policy.mask_figures import mask_figure
from vssl.reports.policy.panel import matched_random, matched_random_figure, panel, panel_figure
from vssl.reports.policy.patch_section import patch_maps
from vssl.reports.policy.record import Record, read_record
from vssl.reports.policy.sources import source_rows, sources_figure
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
    metrics, analysis = record.metrics, record.mask_analysis
    figures = {
        "credit": credit_figure(metrics),
        "credit-over-time": credit_over_time_figure(record.policy, metrics),
        "sources": sources_figure(record.policy),
        "value": value_figure(metrics),
        "gradient": gradient_figure(record.policy),
        "one-step": one_step_figure(record.one_step),
        "mask": mask_figure(analysis or {}),
    }
    return render(
        "policy.html",
        title=_title(record),
        about=_about(record),
        findings=findings(record),
        panel=panel(record),
        strengths=_drawn(strengths_figure(record.policy), "strengths"),
        views=[_view(record, number, name) for number, name in enumerate(views_of(record.policy))],
        choices=_choices(metrics),
        parts_of_loss=_parts_of_loss(metrics),
        source_rows=source_rows(record.policy),
        image_worth=image_worth(record),
        patch_maps=patch_maps(record.patch_credit),
        figures={name.replace("-", "_"): _drawn(found, name) for name, found in figures.items()},
        gradient_rows=_gradient_rows(record),
        gradient_norms=_gradient_norms(record),
        one_step=one_step_table(record.one_step),
        has_mask=record.last.mask is not None,
        mask_images=analysis.get("images", "–") if analysis else None,
        matched_random=matched_random(record),
        recorded=_recorded(record),
    )


def _drawn(figure: Figure | None, name: str) -> Markup | None:
    return None if figure is None else to_svg(figure, name)


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
        "credit_over_time": credit_over_time_figure(record.policy, record.metrics),
        "sources": sources_figure(record.policy),
        "value": value_figure(record.metrics),
        "gradient": gradient_figure(record.policy),
        "one_step": one_step_figure(record.one_step),
        "mask": mask_figure(record.mask_analysis or {}),
    }
    return {name: drawn for name, drawn in found.items() if drawn is not None}


def _title(record: Record) -> str:
    return f"What the designer learned: {record.info.get('arm', record.path.name)}, seed {record.info.get('seed', '–')}"


def _about(record: Record) -> str:
    info = record.info
    about = [f"{info.get('designer', 'designer')} with {info.get('objective', 'an unknown objective')}"]
    about += [f"{info.get('steps', '–')} steps in {format_number(info.get('seconds'), 0)} s"]
    about += ["finished" if info.get("finished") else f"not finished, last snapshot at step {record.last.step}"]
    return ", ".join(about) + "."


def _view(record: Record, number: int, name: str) -> dict[str, str | None]:
    """What one kind of view is drawn from."""
    policy = record.policy
    return {
        "name": name.capitalize(),
        "magnitudes": _drawn(magnitudes_figure(policy, number), f"magnitudes-{number}"),
        "gates": _drawn(gates_figure(policy, number), f"gates-{number}"),
        "sweeps": _drawn(sweeps_figure(record.sweeps, policy, number), f"sweeps-{number}"),
    }


def _choices(metrics: list[dict]) -> list[list[str]]:
    """Each option with its value and its share of the run, the best first."""
    choices, worth = choices_of(metrics), worth_of(metrics)
    return [
        [name, f"{worth[name]:+.4f}" if name in worth else "–", f"{100 * choices[name]:.0f} %"]
        for name in sorted(choices, key=lambda name: -worth.get(name, 0.0))
    ]


def _parts_of_loss(metrics: list[dict]) -> list[list[str]]:
    """Weights and credit of the parts of the loss; empty for designers that leave the loss as it is."""
    weights, credits, rows = weights_of(metrics), credits_of(metrics), []
    for name in sorted(weights.keys() | credits.keys()):
        before, after = (f"{share:.3f}" for share in weights[name]) if name in weights else ("–", "–")
        found = credits.get(name)
        told = "–" if found is None else f"{found.mean:+.2e} [{found.low:+.2e}, {found.high:+.2e}]"
        rows.append([name, before, after, told])
    return rows


def _gradient_rows(record: Record) -> list[list[str]]:
    return [
        [row["label"], f"{row['mean']:+.2e}", f"{row['se']:.1e}", format_number(row["z"], 1, signed=True)]
        for row in whole_run(record.policy)
    ]


def _gradient_norms(record: Record) -> list[list[str]]:
    rows = []
    for row in record.policy:
        norm = row.get("gradient", {}).get("norm")
        if norm:
            se = "–" if norm["se"] is None else f"{norm['se']:.1e}"
            rows.append([str(row["step"]), str(row["gradient"]["meta_steps"]), f"{norm['mean']:.3e}", se])
    return rows


def _recorded(record: Record) -> list[list[str]]:
    cost = sum(row.get("cost_seconds", 0.0) for row in record.policy)
    cost = cost or sum(snapshot.cost_seconds for snapshot in record.snapshots)
    total = record.info.get("seconds") or record.last.seconds
    share = f", {100 * cost / total:.2f} % of {total:.0f} s of training" if total else ""
    return [
        ["run", str(record.path)],
        ["snapshots", f"{len(record.snapshots)}, steps {', '.join(str(s.step) for s in record.snapshots)}"],
        ["time for snapshots", f"{cost:.2f} s{share}; not counted in the budget"],
        ["one-step probes", str(len({row["step"] for row in record.one_step}))],
        ["panel", ", ".join(record.names)],
        ["budget", ", ".join(f"{n} {unit}" for unit, n in record.info.get("budget", {}).items()) or "–"],
        ["vssl", str(record.info.get("vssl_version", "–"))],
    ]
