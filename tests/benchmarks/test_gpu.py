"""`gpu`: a dry run on the CPU shows every part; a failing part and a cut lose nothing that was measured."""

import json
import os
import signal
from argparse import Namespace

import pytest

from vssl.benchmarks.gpu.command import PARTS
from vssl.benchmarks.gpu.session import Session, SessionPart


def written(out) -> tuple[dict, str]:
    return json.loads(out.with_suffix(".json").read_text()), out.with_suffix(".md").read_text()


def fine(arguments, section):
    section.add("numbers", {"what": "one", "value": 1.5})


def fails(arguments, section):
    section.add("numbers", {"what": "before", "value": 2.5})
    section.attempt("numbers", {"what": "broken"}, lambda: {"value": 1 / 0})
    section.add("numbers", {"what": "after", "value": 3.5})


def raises(arguments, section):
    raise RuntimeError("no such kernel")


def hangs(arguments, section):
    section.add("numbers", {"what": "before", "value": 4.5})
    while True:
        pass


def test_a_failing_part_is_recorded_and_the_next_run(tmp_path):
    session = Session(tmp_path / "gpu", {"device": "none"}, 60)
    parts = [SessionPart("first", 1, fails), SessionPart("second", 1, raises), SessionPart("third", 1, fine)]
    assert session.run(parts, Namespace()) is False
    result, page = written(tmp_path / "gpu")
    assert [part["state"] for part in result["parts"]] == ["failed", "failed", "finished"]
    first, second, third = result["parts"]
    assert [row["what"] for row in first["tables"]["numbers"]] == ["before", "broken", "after"]
    assert "ZeroDivisionError" in first["error"] and any("test_gpu.py" in line for line in first["trace"])
    assert second["error"] == "RuntimeError: no such kernel"
    assert third["tables"]["numbers"] == [{"what": "one", "value": 1.5}]
    assert page.index("## Failed") < page.index("## first") < page.index("## third")


def test_a_part_is_stopped_at_the_end_of_its_time(tmp_path):
    session = Session(tmp_path / "gpu", {}, 0.2)
    session.run([SessionPart("endless", 1, hangs)], Namespace())
    (part,) = written(tmp_path / "gpu")[0]["parts"]
    assert part["state"] == "out of time" and part["tables"]["numbers"][0]["value"] == 4.5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cut_leaves_what_was_measured(tmp_path, number):
    def cut(arguments, section):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in a shell's background begin with it ignored
        os.kill(os.getpid(), number)

    session = Session(tmp_path / "gpu", {}, 60)
    with pytest.raises(KeyboardInterrupt):
        session.run(
            [SessionPart("first", 1, fine), SessionPart("second", 1, cut), SessionPart("third", 1, fine)], Namespace()
        )
    result, page = written(tmp_path / "gpu")
    assert [part["state"] for part in result["parts"]] == ["finished", "interrupted"]
    assert result["parts"][0]["tables"]["numbers"][0]["value"] == 1.5 and "| one | 1.5 |" in page


@pytest.mark.slow
def test_the_dry_run_shows_every_part(benchmark, tmp_path):
    dry = ("--device", "cpu", "--tiny", "--repeats", "1", "--backend", "aot_eager", "--seconds", "100000")
    benchmark("gpu", *dry, out=tmp_path / "gpu")
    result, _ = written(tmp_path / "gpu")
    assert {part["name"]: part["state"] for part in result["parts"]} == {part.name: "finished" for part in PARTS}
    tables = {part["name"]: part["tables"] for part in result["parts"]}
    assert all(
        row["relative_error"] == 0 for row in tables["correctness"]["designers' views, device against CPU, fp32"]
    )
    assert len(tables["meta step"].popitem()[1]) == 2 * 3
    assert tables["scenes"]["resume"][0]["largest_difference"] == 0
