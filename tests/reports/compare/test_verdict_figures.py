import numpy as np
import pytest

from vssl.reports import collect
from vssl.reports.compare.run_curves import curves_figure, probe_curves_figure
from vssl.reports.compare.verdict_figures import mean_phases, phases_figure, verdict_figure
from vssl.reports.drawing import arm_colours, to_png, to_svg
from vssl.reports.runs import read_metrics


@pytest.fixture
def results(folder, layout):
    return collect(folder, layout)


@pytest.fixture
def logs(folder, layout):
    return {
        arm: {seed: read_metrics(folder / arm / f"seed{seed}" / "metrics.jsonl") for seed in layout["seeds"]}
        for arm in layout["arms"]
    }


def points(axes):
    """x positions of the dots, by row."""
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    return {int(line.get_ydata()[0]): sorted(map(float, line.get_xdata())) for line in dots if len(line.get_xdata())}


def test_every_seed_of_every_arm_is_a_dot_at_its_score(results):
    scores, differences, *_ = verdict_figure(results).axes
    assert points(scores)[0] == [41.0, 42.0, 43.0]
    assert points(scores)[1] == [42.1, 42.9, 44.0]
    assert points(differences)[1] == pytest.approx([0.9, 1.0, 1.1])
    assert 0 not in points(differences)  # the baseline itself


@pytest.mark.slow
def test_right_is_better_on_every_axis(results):
    miou, _, rmse, rmse_difference = verdict_figure(results).axes
    assert miou.get_xlim()[0] < miou.get_xlim()[1]
    for axes in (rmse, rmse_difference):
        assert axes.get_xlim()[0] > axes.get_xlim()[1]


def test_the_start_checkpoint_is_a_line_at_its_mean(results):
    scores = verdict_figure(results).axes[0]
    dashed = [line for line in scores.get_lines() if line.get_linestyle() == "--"]
    assert [float(line.get_xdata()[0]) for line in dashed] == pytest.approx([40.0])


def test_curves_show_what_was_logged_and_the_mean_over_seeds(results, logs):
    figure = curves_figure(results, logs)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert "value V" in titles and "SSL loss" in titles and "‖g_pre‖" not in titles
    cosine = figure.axes[titles.index("cosine(g_down, g_pre)")]
    thick = next(line for line in cosine.get_lines() if line.get_linewidth() == 1.8)
    assert thick.get_ydata()[-1] == pytest.approx(0.05 - 0.01, abs=1e-4)  # seeds 0, 1, 2 end 0.05 − 0.01·seed


@pytest.mark.slow
def test_the_feedback_loss_of_any_task_has_a_panel(results, logs):
    for by_seed in logs.values():
        for log in by_seed.values():
            for row in log:
                row["feedback_loss/normals"] = 0.5
    titles = [axes.get_title(loc="left") for axes in curves_figure(results, logs).axes]
    assert "feedback loss, normals" in titles


def test_probe_curves_run_from_the_start_to_each_end_through_logged_probes(results, logs):
    logs["fixed"][0][4]["probe/segmentation/mIoU"] = 40.6
    lines = probe_curves_figure(results, logs).axes[0].get_lines()
    np.testing.assert_allclose(lines[0].get_ydata(), [40.0, 40.6, 41.0])
    np.testing.assert_allclose(lines[0].get_xdata(), [0.0, 60 * 100 / 240, 60.0])


def test_phases_and_the_rest_add_up_to_the_budget_clock(results):
    arm = results["arms"]["vpretraining"]
    per_step = np.mean([run["seconds"] / run["steps"] for run in arm["runs"].values()])
    assert sum(mean_phases(arm).values()) == pytest.approx(per_step)
    axes = phases_figure(results).axes[0]
    assert axes.get_legend_handles_labels()[1][:3] == ["data", "augment", "learner"]


def test_nothing_to_draw_is_none(tmp_path, layout):
    empty = collect(tmp_path, layout)
    assert verdict_figure(empty) is None and curves_figure(empty, {}) is None
    assert probe_curves_figure(empty, {}) is None and phases_figure(empty) is None


@pytest.mark.slow
def test_drawing_twice_gives_the_same_bytes(results):
    assert to_svg(verdict_figure(results), "a") == to_svg(verdict_figure(results), "a")
    first = to_png(verdict_figure(results, heading=True), dpi=50)
    assert first == to_png(verdict_figure(results, heading=True), dpi=50) and first.startswith(b"\x89PNG")


def test_baseline_and_candidate_keep_their_colours_in_any_order(results):
    colours = arm_colours(results)
    turned = {**results, "arms": dict(reversed(results["arms"].items()))}
    assert [arm_colours(turned)[arm] for arm in ("fixed", "vpretraining")] == [
        colours[arm] for arm in ("fixed", "vpretraining")
    ]
    assert len(set(colours.values())) == 4
