"""The page about views says what the code says."""

from pathlib import Path

from vssl.views.plan import WINDOW
from vssl.views.space import table

PAGE = (Path(__file__).parents[2] / "docs" / "views.md").read_text()


def test_the_table_of_ops_is_the_space():
    assert f"\n{table()}\n" in PAGE, f"the table of docs/views.md should be\n{table()}"


def test_the_table_of_the_window_is_the_windows():
    for magnitude in WINDOW:
        assert f"| {magnitude.name} | {magnitude.low:.3g} .. {magnitude.high:.3g} |" in PAGE
