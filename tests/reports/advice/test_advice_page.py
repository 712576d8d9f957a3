"""The page says what was found, in words, and needs nothing beside it."""

import json
import re
from html import unescape

import numpy as np
import pytest

from vssl.reports.advice.advice_page import write_advice
from vssl.reports.advice.words import WORDS, listed, title

NAMES = [("hue", "strength", False), ("grayscale", "chance", False), ("rotate", "chance", True)]
NUMBERS = {
    "strength": {"less": [-0.05, 0.05], "now": [-0.1, 0.1], "more": [-0.15, 0.15], "unit": "turns"},
    "chance": {"less": [0.0], "now": [0.2], "more": [0.45], "unit": ""},
}
COLUMNS = [(0, "less"), (0, "more"), (1, "less"), (1, "more"), (2, "more")]


def arguments(shift=(0.02, -0.02, 0.0), views=2, tasks=("segmentation", "depth"), **about):
    """Six draws and three groups of labels; `shift` is what more of each operation adds."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.05, 0.001, (6, 6, 4))
    for (number, side), column in zip(COLUMNS, range(1, 6), strict=True):
        values[:, column] += shift[number] / 2 if side == "more" else -shift[number] / 2
    return {
        "values": values,
        "task_values": values[..., : len(tasks)],
        "columns": COLUMNS,
        "changes": [{"name": n, "by": by, "closed": new, "absent": new, **NUMBERS[by]} for n, by, new in NAMES],
        "pictures": [(["as it is", "weak", "strong"], np.full((2, 3, 8, 8, 3), 100, np.uint8))] * 3,
        "about": {
            "objective": "SimCLR", "views": views, "rule": "Cosine", "backbone": "start.safetensors", "model": "vit",
            "blocks": 2, "unlabeled": 900, "batch": 48, "draws": 6, "heads": 6, "head_steps": 40, "continued": False,
            "labels": dict.fromkeys(tasks, 300), "control": None, "geometric": True, "groups": 12,
            "seed": 0, "seconds": 9.0, "command": "vssl advise <mine>.py", "version": "1", **about,
        },
    }  # fmt: skip


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(style|svg).*?</\1>", "", html)))


@pytest.fixture
def page(tmp_path):
    return tmp_path / "new" / "advice.html"


def test_the_page_says_more_less_and_not_known(page):
    found = write_advice(page, **arguments())
    assert [effect.verdict for effect in found] == ["more", "less", "unknown"]
    said = text_of(page.read_text())
    assert "More of it helps: hue." in said and "Less of it helps: loss of colour." in said
    assert "Not known from 6 draws and these labels: rotation." in said
    assert "Hue: more of it helps" in said and "the features may ignore it" in said
    assert "do not train the features to ignore it" in said
    assert "probability 0.00 against 0.45; now 0.20" in said and "−0.05 to 0.05 against −0.15 to 0.15" in said
    assert 'learn=("hue", "grayscale")' in unescape(page.read_text())
    assert "extra=" not in page.read_text()


def test_the_page_says_that_it_looks_one_step_ahead(page):
    write_advice(page, **arguments())
    assert "This is about the next training step, not about a whole run." in page.read_text()


def test_what_is_not_in_the_recipe_is_to_be_left_out_or_tried(page):
    write_advice(page, **arguments(shift=(0, 0, -0.02)))
    assert "It is not in the recipe: leave it out." in page.read_text()
    write_advice(page, **arguments(shift=(0, 0, 0.02)))
    said = unescape(page.read_text())
    assert "It is not in the recipe yet." in said and 'extra=(*recipe.get("extra", ()), "rotate"))' in said
    closed = arguments(shift=(0, 0, 0.02))
    closed["changes"][2]["absent"] = False
    write_advice(page, **closed)
    assert "extra=" not in page.read_text(), "the recipe has it, at probability 0"


def test_one_view_says_nothing_of_invariance(page):
    write_advice(page, **arguments(views=1))
    assert "ignore it" not in page.read_text()


def test_nothing_found_says_what_would_help(page):
    write_advice(page, **arguments(shift=(0, 0, 0)))
    said = text_of(page.read_text())
    assert "More of it helps: nothing." in said and "Nothing was told apart from chance." in said


def test_a_check_with_shuffled_labels_is_called_one(page):
    write_advice(page, **arguments(control="shuffled_labels"))
    assert "A check, not advice" in page.read_text()


def test_the_file_needs_nothing_beside_it_and_shows_every_picture(page):
    write_advice(page, **arguments())
    html = page.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', html) and "<mine>" not in html
    assert html.count("<img") == 3 * 2 * 3


def test_names_are_text_and_no_markup(page):
    given = arguments(tasks=("a<b>&c", "depth"), backbone="<i>mine</i>.pth")
    given["changes"][0]["name"] = "<u>op</u>"
    write_advice(page, **given)
    html = page.read_text()
    assert "A&lt;b&gt;&amp;c and depth: the mean" in html and "going on from &lt;i&gt;mine" in html
    assert "a<b>&c" not in html and "<i>mine" not in html and "<u>op" not in html


def test_the_numbers_are_beside_it(page):
    found = write_advice(page, **arguments())
    told = json.loads(page.with_suffix(".json").read_text())
    assert told["value"] == pytest.approx(0.05, abs=0.001) and told["labels"] == {"segmentation": 300, "depth": 300}
    for row, effect, (name, *_) in zip(told["operations"], found, NAMES, strict=True):
        assert (row["name"], row["verdict"], row["mean"], row["low"]) == (name, effect.verdict, effect.mean, effect.low)
    first = told["operations"][0]
    assert first["numbers"]["more"] == [-0.15, 0.15] and first["more"] == found[0].more


def test_the_recipe_is_kept_where_it_does_no_worse_than_the_better_side(page):
    given = arguments()
    given["values"][:, 1:3] -= 0.5  # hue: both sides are worse than the recipe
    given["changes"][0]["alike"] = False
    write_advice(page, **given)
    said = text_of(page.read_text())
    assert "More of it helps: hue (as the recipe has it)." in said and "Less of it helps: loss of colour." in said
    assert said.count("keep what it has") == 1 and said.count("others have their own") == 1
    assert "over draws and their heads and (jackknife)" in said


def test_no_policy_is_to_learn_what_is_not_in_the_recipe_and_does_not_help(page):
    write_advice(page, **arguments(shift=(0.0, 0.0, -0.05)))
    said = text_of(page.read_text())
    assert "leave it out" in said and "Leave the recipe as it is" in said and "GlobalPolicy" not in said


def test_words():
    assert listed([]) == "nothing" and listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    assert title("a new op") == "a new op"


def test_every_operation_of_the_space_has_words():
    from vssl.views.space import SPACE

    assert set(WORDS) == {op.name for op in SPACE} | {"area", "log_ratio", "flip", "jitter"}
