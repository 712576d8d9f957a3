import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vssl.reports import read_json
from vssl.results.automatic import add
from vssl.results.rows import Entry
from vssl.results.store import Store
from vssl.whole_files import write_json

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from vssl.results.rows import Entry
from vssl.results.store import Store
store, me = Store(sys.argv[1], create=True), sys.argv[2]
for number in range(20):
    columns = dict(arm=f"writer {me}", seed=number, weights=None)
    mine = Entry("runs", f"{me}-{number}", "a", columns, {})
    both = Entry("runs", f"both-{number}", "a", dict(columns, arm="both"), {})
    added = store.add([mine, both])
    assert not added.changed
"""


def row(identity: str, content: str = "a", **columns) -> Entry:
    return Entry("runs", identity, content, {"arm": "fixed", "seed": 0, "weights": None, **columns}, {"run": {}})


def test_the_same_result_twice_is_one_row_wherever_it_lies(store, comparison, tmp_path):
    before = store.runs(), store.probes()
    assert (len(before[0]), len(before[1])) == (12, 30)  # four arms and, probed alone, the start; two probes each
    _, again = add(store, [comparison])
    copy = shutil.copytree(comparison, tmp_path / "copies" / "small")
    _, copied = add(store, [copy])
    assert (len(again.same), len(copied.same)) == (42, 42)
    assert (store.runs(), store.probes()) == before


def test_a_changed_file_is_told_of_and_what_is_recorded_stays_unless_it_is_to_be_replaced(store, comparison):
    file = comparison / "fixed/seed0/probes/segmentation.json"
    result = read_json(file)
    result["scores"]["mIoU"] = 99.0
    write_json(file, result)
    scores = lambda: {m["record"]["result"]["scores"].get("mIoU") for m in store.probes()}  # noqa: E731
    _, added = add(store, [comparison])
    ((entry, path),) = added.changed
    assert entry.name.startswith("probe segmentation of ") and path == str(file) and 99.0 not in scores()
    _, added = add(store, [comparison], replace=True)
    assert [entry.columns["path"] for entry in added.replaced] == [str(file)] and 99.0 in scores()


def test_a_backbone_that_changed_is_noticed_and_one_that_is_gone_is_not(store, comparison):
    backbone = comparison / "fixed/seed0/backbone.safetensors"
    backbone.unlink()
    assert not add(store, [comparison])[1].changed
    backbone.write_text("another")
    assert [entry.name for entry, _ in add(store, [comparison])[1].changed] == ["run fixed, seed 0"]


def test_what_the_comparison_learns_at_its_end_is_taken_along(store, comparison):
    calibration = {
        "steps": 200, "baseline_steps": 240, "baseline": "fixed", "clock": "processor",
        "begin": {"baseline_seconds": 60.0}, "end": {"drift": 0.01},
    }  # fmt: skip
    write_json(comparison / "vpretraining/calibration.json", calibration)
    assert not add(store, [comparison])[1].changed
    assert {run["about"]["calibration"]["drift"] for run in store.runs() if run["arm"] == "vpretraining"} == {0.01}


@pytest.mark.slow
def test_writers_at_once_lose_no_row(tmp_path):
    file = tmp_path / "new" / "results.sqlite"  # made by whoever comes first
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(me)], env={"PYTHONPATH": str(ROOT)}, text=True,
                         stderr=subprocess.PIPE)
        for me in range(4)
    ]  # fmt: skip
    for writer in writers:
        _, error = writer.communicate(timeout=240)
        assert writer.returncode == 0, error
    assert len(Store(file).runs()) == 4 * 20 + 20


def test_a_failure_in_the_middle_adds_nothing(tmp_path):
    store = Store(tmp_path / "a.sqlite", create=True)
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.add([row("one"), Entry("runs", "two", "a", {"arm": "x"}, {"run": object()})])
    assert store.runs() == []


def test_a_missing_file_is_made_by_add_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; vssl results add FOLDER makes it"):
        Store(tmp_path / "results.sqlite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("create", [True, False])
def test_another_file_is_refused_and_left_as_it_is(tmp_path, create):
    text, study = tmp_path / "notes.txt", tmp_path / "study.db"
    text.write_text("not a database, but long enough to be looked at as one" * 20)
    with sqlite3.connect(study) as connection:
        connection.execute("CREATE TABLE studies (a)")
    before = text.read_bytes(), study.read_bytes()
    with pytest.raises(ValueError, match=r"notes\.txt: file is not a database"):
        Store(text, create)
    with pytest.raises(ValueError, match=r"study\.db is no results store \(it holds studies\)"):
        Store(study, create)
    assert (text.read_bytes(), study.read_bytes()) == before


def test_a_damaged_file_is_one_line(tmp_path):
    file = tmp_path / "results.sqlite"
    Store(file, create=True).add(row(f"{number}", path="x" * 2000) for number in range(50))
    content = bytearray(file.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"results\.sqlite") as caught:
        Store(file)
    assert "\n" not in str(caught.value)


def test_a_store_of_another_version_is_refused(tmp_path):
    file = tmp_path / "results.sqlite"
    Store(file, create=True)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE vssl_store SET format = 9")
    with pytest.raises(ValueError, match="has format 9, this version of vssl reads 1"):
        Store(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "lost with the process"),
        (":memory:", "lost with the process"),
        ("nosuch://me:secret@host/db", "Can't load plugin"),
        ("://", "URL cannot be read"),
    ],
)
def test_a_url_that_names_no_database_is_refused_without_its_password(url, said):
    with pytest.raises(ValueError, match=said) as caught:
        Store(url, create=True)
    assert "secret" not in str(caught.value)


def test_a_url_names_a_file_too(tmp_path):
    Store(f"sqlite:///{tmp_path}/team.sqlite", create=True).add([row("one")])
    assert [run["id"] for run in Store(tmp_path / "team.sqlite").runs()] == ["one"]
