"""The tutorial runs from its first cell to its last, does what its text says, and is kept without outputs."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")  # the extra "docs", which needs Python 3.11
NotebookClient = pytest.importorskip("nbclient").NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs/tutorial.ipynb"
WHAT_IT_SAYS = """
from vssl.reports import read_json

boxes = [recipe(images, Draws(0, "views", 0)).global_boxes for recipe in recipes.values()]
assert all(torch.allclose(box, boxes[0]) for box in boxes)  # the crops are the same
mean = {name: sum(found) / len(found) for name, found in values.items()}
assert max(mean, key=mean.get) == "colours kept", mean
assert drop * predicted_drop(g_down, update) > 0  # of "more colours", the last one
hue = next(number for number in now["numbers"] if number["name"] == "hue")
assert hue["current"][1] - hue["current"][0] < hue["initial"][1] - hue["initial"][0], hue
gates = {gate["name"]: gate for gate in now["gates"]}
assert gates["grayscale"]["current"] < gates["grayscale"]["initial"]
assert gates["blur"]["current"] == gates["blur"]["initial"]  # not learned
assert not results["missing"] and results["verdict"]["outcome"] == "undecided"
assert all(read_json(run)["finished"] for run in comparison.work_dir.glob("*/*/run.json"))
assert (comparison.work_dir / "index.html").is_file()
"""


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.mark.slow
def test_every_cell_runs_and_the_text_is_true(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook.cells.append(nbformat.v4.new_code_cell(WHAT_IT_SAYS))
    NotebookClient(notebook, kernel_name="python3", timeout=None).execute()
    printed = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert not [out for out in printed if out.output_type == "stream" and "Traceback" in out.text]
    assert sum("image/png" in out.get("data", {}) for out in printed) == 5


def test_it_is_kept_without_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)
