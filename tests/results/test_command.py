import json

import pytest

from vssl.commands.results import main
from vssl.results.automatic import VARIABLE, recorded
from vssl.results.store import Store


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)


def test_add_and_ask(comparison, capsys, monkeypatch, tmp_path):
    assert main(["add", "small"]) == 0
    assert capsys.readouterr().out == "results.sqlite: 42 new\n"
    assert main(["add", "small"]) == 0 and "42 there already" in capsys.readouterr().out
    monkeypatch.setenv(VARIABLE, str(tmp_path / "results.sqlite"))
    monkeypatch.chdir(tmp_path / "small")
    for command, said in (
        (["ls", "--arm", "fixed"], "fixed recipe"),
        (["best", "--metric", "mIoU", "--probe", "segmentation"], "1  V-Pretraining"),
        (["compare", "vpretraining", "fixed"], "+1.00 [0.75, 1.25]"),
        (["export", "--format", "json", "--out", "all.json"], "all.json: 30 results"),
        (["leaderboard", "--out", "board.html"], "board.html"),
    ):
        assert main(command) == 0
        assert said in capsys.readouterr().out
    assert len(json.loads((tmp_path / "small/all.json").read_text())["runs"]) == 12


def test_what_was_not_recorded_is_exit_code_1_with_a_line_each(comparison, capsys):
    assert main(["add", "small"]) == 0
    file = comparison / "fixed/seed1/run.json"
    file.write_text(file.read_text().replace('"steps": 241', '"steps": 999'))
    (comparison / "fixed/seed2/run.json").write_text("{")
    assert main(["add", "small"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: 2 results were not recorded"
    assert "run fixed, seed 1: " in said[1] and "that is kept" in said[1]
    assert said[2].startswith("not read: ") and "seed2/run.json is not readable JSON" in said[2]
    assert said[3].endswith("the same command with --replace")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["ls"], "error: results.sqlite does not exist; vssl results add FOLDER makes it"),
        (["add", "nothing"], "error: nothing does not exist; give a run, a comparison, or a file of probe results"),
        (["ls", "--store", "small/results.json"], "error: results store small/results.json: file is not a database"),
    ],
)
def test_wrong_input_is_one_line(comparison, capsys, command, said):
    assert main(command) == 1
    assert capsys.readouterr().err == said + "\n"


def test_without_the_variable_nothing_is_recorded(comparison, tmp_path):
    with recorded(comparison):
        pass
    assert not list(tmp_path.glob("*.sqlite"))


def test_with_the_variable_what_was_finished_is_recorded_also_when_the_work_fails(comparison, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, "a.sqlite")
    with recorded(comparison / "fixed"):
        pass
    assert capsys.readouterr().out == "recorded in a.sqlite: 9 new\n"
    with pytest.raises(ZeroDivisionError), recorded(comparison):
        raise ZeroDivisionError
    assert len(Store("a.sqlite").runs()) == 12
    with pytest.raises(ZeroDivisionError), recorded(comparison / "not begun"):
        raise ZeroDivisionError


def test_a_store_that_cannot_be_used_is_an_error_before_the_work(comparison, monkeypatch):
    monkeypatch.setenv(VARIABLE, "small/results.json")
    worked = False
    with pytest.raises(ValueError, match="file is not a database") as caught, recorded(comparison):
        worked = True
    assert not worked and "unset it to record nothing" in caught.value.__notes__[0]


def test_what_cannot_be_recorded_after_the_work_says_how_to(comparison, monkeypatch):
    monkeypatch.setenv(VARIABLE, "a.sqlite")
    (comparison / "fixed/seed0/run.json").write_text("{")
    with pytest.raises(ValueError, match="1 results were not recorded") as caught, recorded(comparison):
        pass
    assert "vssl results add" in caught.value.__notes__[0]
    assert len(Store("a.sqlite").runs()) == 11
