"""The page about views says what the code says."""

from pathlib import Path

import torch
from kornia.enhance import invert

from vssl.views.space import table
from vssl.views.view_plan import WINDOW

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "views.md").read_text()


def test_the_table_of_ops_is_the_space():
    assert f"\n{table()}\n" in PAGE, f"the table of docs/views.md should be\n{table()}"


def test_the_table_of_the_window_is_the_windows():
    for magnitude in WINDOW:
        assert f"| {magnitude.name} | {magnitude.low:.3g} .. {magnitude.high:.3g} |" in PAGE


def test_the_example_of_an_op_is_kornias():
    example = (DOCS / "extending.md").read_text().split("```python\n")[1].split("```")[0]
    names = {}
    exec(example, names)
    images = torch.rand(2, 3, 4, 4)
    assert torch.allclose(names["INVERT"](images, torch.ones(2)), invert(images))
    assert torch.equal(names["INVERT"](images, torch.zeros(2)), images)
