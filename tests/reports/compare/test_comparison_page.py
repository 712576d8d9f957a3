import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from vssl.reports import collect, write_page, write_results
from vssl.reports.compare.comparison_page import _logs, render_page
from vssl.reports.compare.run_curves import probe_curves_figure
from vssl.reports.compare.table import format_summary
from vssl.reports.metrics import format_difference


class Balance(HTMLParser):
    """Notes tags that are closed in the wrong order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


@pytest.fixture
def results(folder, layout, environment):
    return collect(folder, layout, environment)


def visible_text(html):
    without = re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.S)
    return re.sub(r"<[^>]+>", " ", without)


@pytest.mark.slow
def test_numbers_on_the_page_are_those_of_results_json(results, folder):
    write_results(results, folder / "results.json")
    write_page(results, folder)
    saved = json.loads((folder / "results.json").read_text())
    text = visible_text((folder / "index.html").read_text())
    for metric in saved["metrics"]:
        for arm in (saved["start"], *saved["arms"].values()):
            assert format_summary(arm["aggregate"][metric["key"]], metric["digits"]) in text
            difference = arm.get("difference", {}).get(metric["key"])
            assert difference is None or format_difference(difference, metric["digits"]) in text
    assert saved["verdict"]["headline"] in text
    for line in saved["verdict"]["lines"]:
        assert line["text"] in text


@pytest.mark.slow
def test_probes_during_training_are_curves(results, folder):
    """With the final probe's protocol they are points of its curve; with another one they have their own panel."""
    for arm in ("fixed", "vpretraining"):
        rows = [
            {"step": step, "seconds": 20.0 * turn, "probe": probe, "scores": {"mIoU": 40.0 + turn}, "card": card}
            for turn, step in enumerate((0, 100, 200))
            for probe, card in (("segmentation", {**results["cards"]["segmentation"], "seed": 9}), ("few", {"n": 8}))
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 300, "sec'
        (folder / arm / "seed0" / "online_probes.jsonl").write_text(lines)
    logs = _logs(results, folder)
    curve = probe_curves_figure(results, logs)
    mean_iou, rmse, few = curve.axes[:3]
    assert few.get_title(loc="left") == "few mIoU, online (%)"
    fixed = mean_iou.get_lines()[0]
    assert fixed.get_xdata().tolist() == [0.0, 20.0, 40.0, 60.0] and fixed.get_ydata().tolist() == [40, 41, 42, 41]
    assert len(rmse.get_lines()[0].get_xdata()) == 2, "no probe of depth on the way"
    assert few.get_lines()[0].get_ydata().tolist() == [40, 41, 42]
    assert "marked as online" in render_page(results, folder)


@pytest.mark.slow
def test_page_is_self_contained_and_well_formed(results, folder):
    html = render_page(results, folder)
    checker = Balance()
    checker.feed(html)
    assert checker.wrong == [] and checker.open == []
    addresses = re.findall(r'(?:src|href|url\()\s*=?\s*"?([^")\s>]+)', html)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert "<script" not in html


@pytest.mark.slow
def test_page_is_the_same_every_time(results, folder):
    assert render_page(results, folder) == render_page(results, folder)


@pytest.mark.slow
def test_page_names_command_settings_protocol_and_environment(results, folder):
    text = visible_text(render_page(results, folder))
    assert "python tools/compare.py configs/a.py --work-dir &#39;my runs&#39;" in text
    assert "Designer of vpretraining" in text and "objective.type" not in text  # shared settings are not listed
    assert "BN + 1×1 → softplus" in text
    assert "torch 2.15.0" in text and "2026-01-01" in text


@pytest.mark.slow
def test_verdict_picture_is_written(results, folder):
    write_page(results, folder)
    assert (folder / "verdict.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_labels_cannot_inject_markup(folder, layout):
    layout["arms"]["fixed"]["label"] = "<b>fixed & co</b>"
    html = render_page(collect(folder, layout), folder)
    assert "<b>fixed" not in html and "&lt;b&gt;fixed &amp; co&lt;/b&gt;" in html


@pytest.mark.slow
def test_missing_pieces_become_lines(folder, layout):
    for pattern in ("*/*/metrics.jsonl", "*/*/views.npz", "*/*/origin.json", "*/*/probes/predictions.npz"):
        for path in folder.glob(pattern):
            path.unlink()
    text = visible_text(render_page(collect(folder, layout), folder))
    for line in (
        "kept no log",
        "no time per phase",
        "No sample views",
        "No predictions",
        "settings of the runs were not",
    ):
        assert line in text


def test_a_comparison_without_any_run_still_gives_a_page(tmp_path, layout):
    text = visible_text(render_page(collect(tmp_path, layout), tmp_path))
    assert "Undecided: no seed has finished in both arms." in text and "No probe has finished yet." in text


@pytest.mark.slow
def test_a_missing_arm_is_said_at_the_top(folder, layout):
    shutil.rmtree(folder / "random_feedback")
    html = render_page(collect(folder, layout), folder)
    notes = re.search(r'<ul class="notes">(.*?)</ul>', html, flags=re.S).group(1)
    assert "Missing, not run: random_feedback seed 0, random_feedback seed 1, random_feedback seed 2." in notes
    assert "same seeds" not in notes, "an arm that was not run is told of once"


@pytest.mark.slow
def test_scores_per_class_are_means_over_seeds(results, folder):
    html = render_page(results, folder)
    folded = re.search(r"segmentation, per class</summary>(.*?)</details>", html, flags=re.S).group(1)
    box = re.search(r"<td>box</td>(.*?)</tr>", folded, flags=re.S).group(1)
    # class number 2 has mIoU + 2 in every fabricated result
    assert re.findall(r"<td>([^<]+)</td>", box) == ["42.00", "44.00", "45.00", "43.33", "43.97"]
