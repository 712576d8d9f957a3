"""The page about a designer, from files as a run leaves them; no dataset, no training."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vssl.reports.one_step_figures import correlation, difference_to_base, one_step_table, select
from vssl.reports.policy.findings import findings
from vssl.reports.policy.magnitude_figures import largest_moves
from vssl.reports.policy.panel import difference, difference_gain, mask_colours, mask_scale
from vssl.reports.policy.policy_page import paper_figures, render_policy_page, write_policy_page
from vssl.reports.policy.record import read_record
from vssl.reports.statistics import whole_run

ROOT = Path(__file__).parents[3]
STEPS, IMAGES = [0, 50, 100], 4
PARAMETERS = [{"group": "global", "name": "hue", "end": end} for end in ("centre", "spread", "probability")]


def write_panel(run: Path, masked: bool) -> None:
    folder, rng = run / "snapshots", np.random.default_rng(0)
    folder.mkdir(parents=True)
    base = rng.integers(60, 190, (IMAGES, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "panel.npz", base=base, names=np.array([f"image{i}.jpg" for i in range(IMAGES)]))
    for number, step in enumerate(STEPS):
        designed = np.clip(base.astype(int) + 10 * number, 0, 255).astype(np.uint8)
        arrays = {"designed": designed, "matched_random": designed[::-1], "step": step, "seconds": 0.5 * step}
        if masked:
            arrays["mask"] = arrays["matched_random_mask"] = rng.integers(
                100, 101 + 50 * number, (IMAGES, 16, 16), np.uint8
            )
        np.savez(folder / f"{step:08d}.npz", cost_seconds=0.1, **arrays)
    values = np.linspace(-0.5, 0.5, 5)
    np.savez(folder / "sweeps.npz", **{"values/hue": values, "strip/hue": np.zeros((5, 8, 8, 3), np.uint8)})


def policy_row(step: int) -> dict:
    share = step / STEPS[-1]
    hue = {"name": "hue", "unit": "turns", "range": [-0.5, 0.5], "identity": 0.0, "initial": [-0.1, 0.1]}
    hue |= {"current": [-0.1 + 0.05 * share, 0.1 - 0.05 * share], "spread": [0.0, 0.0]}
    area = {"name": "area", "unit": "fraction of the image's area", "range": [0.01, 1.0], "identity": 1.0}
    area |= {"initial": [0.3, 1.0], "current": [0.3, 1.0], "spread": [0.0, 0.0]}
    gates = [{"name": "flip", "initial": 0.5, "current": 0.5, "spread": 0.0}]
    gates += [{"name": "hue", "initial": 0.8, "current": 0.8 - 0.2 * share, "spread": 0.0}]
    views = [{"name": "global crops", "group": "global", "members": [0, 1], "numbers": [area, hue], "gates": gates}]
    gradient: dict = {"meta_steps": 0}
    if step:
        gradient = {"meta_steps": 10, "autocorrelation": 0.0, "norm": {"mean": 0.5, "se": 0.1}}
        means = (0.4, -0.01, -0.3)  # of the centre, the spread and the probability, each ± 0.1
        gradient["parameters"] = [{**p, "mean": m, "se": 0.1} for p, m in zip(PARAMETERS, means, strict=True)]
    row = {"step": step, "seconds": 0.5 * step, "designer": "GlobalPolicy", "views": views, "gradient": gradient}
    return row | {"cost_seconds": 0.1}


def one_step_rows(task: str, seed: int) -> list[dict]:
    rows, rng = [], np.random.default_rng(seed)
    for step in range(10, 110, 10):
        predicted = float(rng.normal(2e-3, 1e-3))
        for kind, gain in (("designed", 1e-3), ("base", 0.0), ("untrained", 0.0), ("flipped", -1e-3)):
            for optimizer in ("sgd", "adamw"):
                realised = predicted + gain + float(rng.normal(0, 1e-4)) * (kind in ("designed", "flipped"))
                row = {"step": step, "seconds": 1.0, "views": kind, "optimizer": optimizer, "task": task}
                row |= {"predicted": predicted + gain, "realised": realised, "realised_whole": realised * 1.1}
                rows.append(row | {"loss": 1.0, "cosine": 0.1, "update_norm": 0.01})
    return rows


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path):
    """A finished run with a masked policy: everything that a page can show."""
    run = tmp_path / "run"
    write_panel(run, masked=True)
    info = {"arm": "<b>policy</b>", "seed": 3, "objective": "SimCLR", "designer": "MaskedPolicy", "steps": 100}
    info |= {"seconds": 50.0, "finished": True, "budget": {"steps": 100}, "vssl_version": "0.1.0"}
    (run / "run.json").write_text(json.dumps(info))
    write_lines(run / "policy.jsonl", [policy_row(step) for step in STEPS])
    log = [
        {"step": s, "seconds": s / 2, "value": 0.01 * s, "cosine": 0.001 * s, "cosine/depth": 0.1, "g_pre_norm": 4.0,
         "g_down_norm/depth": 2.0, "cosine_between/segmentation/depth": 0.3, "mask/mean": 0.6}
        for s in range(10, 110, 10)
    ]  # fmt: skip
    write_lines(run / "metrics.jsonl", log)
    write_lines(run / "one_step.jsonl", one_step_rows("segmentation", 0) + one_step_rows("depth", 1))
    classes = [{"name": "wall", "pixels": 90, "mean": 0.7, "se": 0.01, "images": 9}]
    classes += [{"name": "lamp", "pixels": 10, "mean": 0.4, "se": 0.02, "images": 8}]
    edges = [
        {"from": 0, "to": 1, "mean": 0.8, "se": 0.01, "images": 9},
        {"from": 16, "to": None, "mean": 0.6, "se": None, "images": 1},
    ]
    variance = {
        "total": 0.04,
        "between_images": 0.01,
        "within_images": 0.03,
        "position": 0.02,
        "image_and_position": 0.01,
    }
    analysis = {"step": 100, "images": 18, "classes": {"overall": 0.65, "rows": classes}, "variance": variance}
    analysis["depth_edges"] = {"edge_ratio": 1.1, "overall": 0.7, "rows": edges}
    (run / "mask_analysis.json").write_text(json.dumps(analysis))
    return run


class Page(HTMLParser):
    """Tags that are closed in the wrong order, and every address that the page refers to."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.wrong, self.addresses = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


def visible(html):
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.S))


@pytest.mark.slow
def test_the_page_is_one_well_formed_file_that_needs_nothing_else(run):
    html = render_policy_page(read_record(run))
    page = Page(html)
    assert page.wrong == [] and page.open == []
    assert len(page.addresses) > 50 and all(a.startswith(("data:", "#")) for a in page.addresses)
    assert "<script" not in html and "url(http" not in html
    assert "&lt;b&gt;policy&lt;/b&gt;, seed 3" in html and "<b>policy" not in html
    assert render_policy_page(read_record(run)) == html, "the same files give the same page"


@pytest.mark.slow
def test_the_page_says_what_came_out(run):
    text = visible(render_policy_page(read_record(run)))
    assert "probability of hue 0.80 → 0.60; hue [−0.10, 0.10] → [−0.05, 0.05]" in text
    assert "differs from 0 (95 %) for 2 of 3 parameters over 20 meta steps; chance alone would give about 0.2" in text
    assert "centre of hue (more is worth more), probability of hue (less is worth more)" in text
    assert "The mask hides lamp most (mean 0.40) and keeps wall most (0.70); over all labeled pixels 0.65" in text
    assert "50 % of the mask&#39;s variance depends on the image (25 % lies between images" in text
    assert "0.30 s, 0.60 % of 50 s of training" in text


@pytest.mark.slow
def test_a_page_is_made_from_what_is_there(run):
    """Each file but the snapshots may be missing: a line says so, and the rest of the page stays."""
    for name in ("one_step.jsonl", "mask_analysis.json", "metrics.jsonl", "snapshots/sweeps.npz"):
        (run / name).unlink()
    text = visible(render_policy_page(read_record(run)))
    for line in ("The run made no one-step probe.", "No analysis of the mask", "no values", "kept no sweep strips"):
        assert line in text
    (run / "policy.jsonl").unlink()
    text = visible(render_policy_page(read_record(run)))
    for line in ("This designer has no policy", "No gradient of the designer was recorded"):
        assert line in text


@pytest.mark.slow
def test_designers_without_a_mask_or_with_a_network_are_told_apart(run):
    shutil.rmtree(run / "snapshots")
    write_panel(run, masked=False)
    rows = [policy_row(step) for step in STEPS]
    for row in rows:
        row["gradient"].pop("parameters", None)
    write_lines(run / "policy.jsonl", rows)
    text = visible(render_policy_page(read_record(run)))
    assert "This designer uses no mask." in text and "only the norm of its gradient is shown" in text
    assert "one distribution for all images" in text


@pytest.mark.slow
def test_a_search_shows_its_strengths(run):
    entry = {"name": "hue", "choices": [0.0, 1.0, 2.0], "probabilities": [0.2, 0.3, 0.5], "mean": 1.3}
    write_lines(run / "policy.jsonl", [{"step": s, "gradient": {"meta_steps": 0}, "strengths": [entry]} for s in STEPS])
    record = read_record(run)
    assert "Expected strength of each magnitude" in visible(render_policy_page(record))
    assert "strengths" in paper_figures(record)


@pytest.mark.slow
def test_pngs_for_papers_are_written(run, tmp_path):
    page = write_policy_page(run, tmp_path / "deep" / "page.html", tmp_path / "png")
    assert page == tmp_path / "deep" / "page.html" and page.is_file()
    written = {path.stem for path in (tmp_path / "png").iterdir()}
    assert written == {
        "panel", "matched_random", "magnitudes_global_crops", "gates_global_crops", "sweeps_global_crops", "value",
        "gradient", "one_step", "mask",
    }  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "png").iterdir())


# --- numbers --------------------------------------------------------------------------------------------------------


def test_gradients_are_pooled_over_intervals():
    """Ten meta steps with mean 0.1 and ten with 0.3, each with standard deviation 0.5."""
    rows = [
        {"step": s, "gradient": {"meta_steps": 10, "autocorrelation": 0.0, "parameters": [
            {"group": "global", "name": "hue", "end": "centre", "mean": mean, "se": 0.5 / 10**0.5}]}}
        for s, mean in ((10, 0.1), (20, 0.3))
    ]  # fmt: skip
    (found,) = whole_run(rows)
    spread = ((18 * 0.25 + 20 * 0.01) / 19) ** 0.5  # within and between the intervals
    assert found["label"] == "centre of hue" and found["n"] == 20
    assert found["mean"] == pytest.approx(0.2) and found["se"] == pytest.approx(spread / 20**0.5)
    for row in rows:  # correlated meta steps: both the given errors and the pooled one are wider by the same factor
        row["gradient"]["autocorrelation"] = 0.6
        row["gradient"]["parameters"][0]["se"] *= 2
    assert whole_run(rows)[0]["se"] == pytest.approx(2 * spread / 20**0.5)


def test_single_meta_steps_per_interval_still_give_an_error():
    rows = [
        {"step": s, "gradient": {"meta_steps": 1, "autocorrelation": 0.0, "parameters": [
            {"group": "global", "name": "hue", "end": "spread", "mean": mean, "se": None}]}}
        for s, mean in ((1, 1.0), (2, 2.0), (3, 3.0))
    ]  # fmt: skip
    (found,) = whole_run(rows)
    assert (found["mean"], found["se"]) == pytest.approx((2.0, 1 / 3**0.5)) and found["z_by_time"] == [None] * 3
    assert whole_run(rows[:1]) == []


def test_correlations_carry_fishers_interval():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.1, 1.9, 3.2, 3.9, 5.3, 5.8]
    r, low, high = correlation(x, y)
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1])
    half = 1.959964 / (6 - 3) ** 0.5
    assert (low, high) == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))
    assert correlation(x[:3], y[:3]) is None and correlation(x, [1.0] * 6) is None


def test_differences_are_taken_probe_by_probe():
    rows = one_step_rows("depth", 0)
    chosen = select(rows, optimizer="sgd")
    difference = difference_to_base(select(chosen, views="designed"), select(chosen, views="base"))
    assert difference.n == 10 and difference.mean == pytest.approx(1e-3, abs=1e-4) and difference.low > 0
    table = one_step_table(rows)["rows"]
    assert [row["difference"] for row in table].count("0, the same views") == 2
    assert {row["outcome"] for row in table} == {"", "better", "worse"}


@pytest.mark.slow
def test_names_of_tasks_cannot_inject_markup(run):
    write_lines(run / "one_step.jsonl", one_step_rows("<i>depth", 0))
    html = render_policy_page(read_record(run))
    assert "&lt;i&gt;depth, SGD" in html and "<i>depth" not in html


def test_a_step_on_designed_views_is_judged_against_base_views(run):
    lines = [line for line in findings(read_record(run)) if "designed views − base views" in line]
    assert len(lines) == 2 and all(line.endswith("× 10⁻³, larger.") for line in lines)


def test_a_mask_without_contrast_is_not_said_to_hide_a_class(run):
    analysis = json.loads((run / "mask_analysis.json").read_text())
    analysis["classes"]["rows"][0]["mean"], analysis["classes"]["rows"][1]["mean"] = 0.6094, 0.6061
    analysis["variance"]["total"] = 0.004**2
    (run / "mask_analysis.json").write_text(json.dumps(analysis))
    told = " ".join(findings(read_record(run)))
    assert "hardly depends on the class: means from 0.606 (lamp) to 0.609 (wall)" in told and "hides" not in told
    assert "Standard deviation of the mask: 0.004, so it is nearly flat." in told


@pytest.mark.slow
def test_the_budget_is_told_in_words(run):
    assert "100 steps" in visible(render_policy_page(read_record(run)).split("How it was recorded")[1])


def test_moves_are_measured_in_shares_of_the_range():
    (first, second, *_) = largest_moves([policy_row(100)], 0)
    assert first["name"] == "probability of hue" and first["moved"] == pytest.approx(0.2)
    assert second["name"] == "hue" and second["moved"] == pytest.approx(0.1)


def test_differences_and_masks_become_colours(run):
    record = read_record(run)
    base = np.full((2, 2, 3), 100, np.uint8)
    np.testing.assert_array_equal(difference(base, base, 4), 128)
    assert difference(base + 10, base, 2)[0, 0, 0] == 148 and difference(base - 90, base, 2)[0, 0, 0] == 0
    assert difference_gain(record) == 4  # the last snapshot is 20 brighter
    low, high = mask_scale(record)
    assert low == pytest.approx(100 / 255) and high == pytest.approx(200 / 255)
    dark, bright = mask_colours(np.array([[low, high]]), (low, high))[0]
    assert dark.sum() < bright.sum()


# --- bad input ------------------------------------------------------------------------------------------------------


def command(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/visualize_policy.py"), *map(str, arguments)],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_writes_the_page_into_the_run(run):
    done = command(run)
    assert done.returncode == 0 and "policy.html" in done.stdout, done.stderr
    assert (run / "policy.html").read_text().startswith("<!doctype html>")


def test_the_command_explains_itself_in_one_line(tmp_path):
    done = command(tmp_path / "nowhere")
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.startswith("error: ") and "nowhere does not exist" in done.stderr and done.stderr.count("\n") == 1
    )


def test_bad_input_is_named(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a run directory: it has no run\.json \(found: run\)"):
        read_record(tmp_path)
    (run / "snapshots" / "00000050.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"00000050\.npz is not a readable npz file"):
        read_record(run)
    shutil.rmtree(run / "snapshots")
    with pytest.raises(ValueError, match=r"has no snapshots\. Its designer is MaskedPolicy; train one .* snapshots=10"):
        read_record(run)


@pytest.mark.parametrize("name", ["policy.jsonl", "one_step.jsonl", "metrics.jsonl"])
def test_a_cut_off_last_line_is_dropped_and_any_other_damage_is_named(run, name):
    path = run / name
    whole = path.read_text()
    path.write_text(whole + '{"step": 110, "sec')
    read_record(run)
    path.write_text("not json\n" + whole)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}, line 1: "):
        read_record(run)


def test_a_damaged_analysis_is_named(run):
    (run / "mask_analysis.json").write_text("{")
    with pytest.raises(ValueError, match=r"mask_analysis\.json is not readable JSON"):
        read_record(run)


@pytest.mark.slow
def test_the_page_shows_which_images_and_sources_count(run):
    weights = {"most": 2.5, "least": 0.4}
    ends = {end: [{"name": f"{end}<{i}>.jpg", "weight": w} for i in range(2)] for end, w in weights.items()}
    sources = [{"name": "streets", "mean": 1.2, "se": 0.1, "images": 9}]
    sources += [{"name": "web", "mean": 0.7, "se": None, "images": 1}]
    told = {"step": 100, "images": 10, "sources": sources} | ends
    (run / "image_worth.json").write_text(json.dumps(told))
    np.savez(run / "image_worth.npz", **{end: np.zeros((2, 8, 8, 3), np.uint8) for end in ends})
    html = render_policy_page(read_record(run))
    assert Page(html).wrong == [] and "most&lt;0&gt;.jpg<br>2.500" in html
    text = visible(html)
    assert "Images: weights from 0.40 to 2.50, mean 1; by source streets 1.20, web 0.70." in text
    assert "Which images count" in text and "1.200 ± 0.100" in text
