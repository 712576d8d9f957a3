"""The page about views says what the code says."""

from pathlib import Path

from vssl.views.plan import WINDOW
from vssl.views.space import SPACE

PAGE = (Path(__file__).parents[2] / "docs" / "views.md").read_text()


def test_the_table_of_ops_is_the_space():
    for op in SPACE:
        assert f"| {op.name} | {op.low:g} .. {op.high:.4g} | {op.identity:.4g} | {op.unit} | {op.kornia} |" in PAGE
    for magnitude in WINDOW:
        assert f"| {magnitude.name} | {magnitude.low:.3g} .. {magnitude.high:.3g} |" in PAGE
