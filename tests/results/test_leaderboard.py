import re

import pytest
from scipy import stats

from vssl.reports import read_json
from vssl.results.automatic import add
from vssl.results.leaderboard import write_leaderboard
from vssl.results.measurements import measurements
from vssl.results.standings import backbone_tables, steered_tables
from vssl.results.store import Store
from vssl.whole_files import write_json


def test_a_table_has_one_protocol(comparison, tmp_path, reprobed):
    reprobed("fixed", steps=300)
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    tables = backbone_tables(measurements(store))
    assert [table["title"] for table in tables] == ["depth", "segmentation", "segmentation"]
    names = [{row["name"] for row in table["rows"]} for table in tables[1:]]
    assert {"fixed recipe"} in names and not names[0] & names[1]
    assert {table["card"]["steps"] for table in tables[1:]} == {300, 500}
    steered, _ = steered_tables(measurements(store))
    assert [column["probe"] for column in steered[0]["columns"]] == ["depth", "segmentation", "segmentation"]


def test_arms_of_one_cost_stand_beside_their_paired_differences(store, miou):
    (table,), unmatched = steered_tables(measurements(store))
    assert table["title"] == "60 seconds (elapsed), from abababab" and unmatched == ["fixed, step-matched"]
    rows = {row["name"]: row for row in table["rows"]}
    assert next(iter(rows)) == table["baseline"] == "fixed recipe" and set(rows) == {
        "fixed recipe", "V-Pretraining", "random feedback"
    }  # fmt: skip
    place = [column["score"] for column in table["columns"]].index("mIoU")
    cell = rows["V-Pretraining"]["cells"][place]
    tests = {arm: stats.ttest_rel(miou[arm], miou["fixed"]) for arm in ("vpretraining", "random_feedback")}
    low, high = tests["vpretraining"].confidence_interval()
    assert cell["difference"] == f"+1.00 [{low:.2f}, {high:.2f}]" and cell["outcome"] == "better"
    assert cell["p"] == f"p = {2 * tests['vpretraining'].pvalue:.3f}"  # Holm: the smaller one of two
    assert rows["random feedback"]["cells"][place]["outcome"] == "none"
    assert cell["text"] == "43.00 ± 0.95" and rows["V-Pretraining"]["counted"] == "3 seeds"


def test_a_cost_that_was_not_kept_is_said(comparison, tmp_path, edit):
    for seed in range(3):
        edit(comparison / f"vpretraining/seed{seed}/run.json", seconds=66.0)
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    (table,), _ = steered_tables(measurements(store))
    said = {row["name"]: row["matched"] for row in table["rows"]}
    assert said["V-Pretraining"] == "+9.8 % of the baseline's time, not matched" and said["random feedback"] == ""


def test_another_budget_start_or_stream_is_another_table(comparison, tmp_path, edit):
    for seed in range(3):
        edit(comparison / f"random_feedback/seed{seed}/origin.json", budget={"seconds": 120})
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    (table,), _ = steered_tables(measurements(store))
    assert {row["name"] for row in table["rows"]} == {"fixed recipe", "V-Pretraining"}


def test_the_page_is_whole_in_itself_and_text_stays_text(comparison, tmp_path):
    results = read_json(comparison / "results.json")
    results["arms"]["vpretraining"]["label"] = "<script>alert('x')</script>"
    write_json(comparison / "results.json", results)
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    page = write_leaderboard(store, tmp_path / "out/board.html", "Board & co", {}).read_text()
    assert "Board &amp; co" in page and "<script>alert" not in page and "&lt;script&gt;alert" in page
    assert not re.findall(r'(?:src|href)="(?!data:)|https?://|url\(|@import', page)
    assert "None" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).replace('data-value="None"', "")


def test_nothing_to_show_is_an_error(store, tmp_path):
    with pytest.raises(ValueError, match="has no such probe results"):
        write_leaderboard(store, tmp_path / "board.html", "Board", {"probe": "retrieval"})
    assert not (tmp_path / "board.html").exists()


def test_budgets_that_do_not_make_equal_cost_say_so(comparison, tmp_path, edit):
    for file in comparison.glob("*/seed*/origin.json"):
        seconds = {"budget": {"seconds": 60}, "environment": {"machine": file.parent.name}}
        edit(file, **(seconds if file.parts[-3] == "fixed" else {"budget": {"steps": 200}}))
    store = Store(tmp_path / "b.sqlite", create=True)
    add(store, [comparison])
    (table,), _ = steered_tables(measurements(store))
    assert table["title"] == "200 steps, from abababab" and "more than one, is the baseline" in table["notes"][0]
    assert table["notes"][1].startswith("Matched in steps alone")
