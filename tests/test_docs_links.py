"""README and docs name what exists: links, anchors, files, make targets, and commands that their parsers accept."""

import glob
import json
import re
import shlex
from itertools import product
from pathlib import Path

import pytest

from vssl.commands import advise, benchmark, compare, data, doctor, export, new, policy, probe, results, sweep, train
from vssl.engine import load_config

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb"), ROOT / "data/README.md"])
ROOMS = ("configs", "docs", "tests", "tools", "vssl")
CREATED = ("docs/gpu",)  # by commands and readers of the pages
PARSERS = {
    "advise": lambda argv: advise.parser(),
    "benchmark": benchmark.parser,
    "compare": lambda argv: compare.parser(),
    "doctor": lambda argv: doctor.parser(),
    "export": lambda argv: export.parser(),
    "new": lambda argv: new.parser(),
    "prepare_data": data.parser,
    "probe": lambda argv: probe.parser(),
    "results": lambda argv: results.parser(),
    "sweep": lambda argv: sweep.parser(),
    "train": lambda argv: train.parser(),
    "visualize_policy": lambda argv: policy.parser(),
}
PARSERS |= {"data": PARSERS["prepare_data"], "policy": PARSERS["visualize_policy"]}  # as vssl calls them


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """Markdown: of a notebook, that of its cells."""
    if page.suffix == ".md":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def code(text: str) -> list[str]:
    """Lines of code blocks, continued ones joined, and code between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) + re.findall(r"(?:^    \S.*\n)+", text, re.M)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def alternatives(text: str) -> list[str]:
    """``a{b,c}`` -> ``ab``, ``ac``."""
    parts = [part.split(",") if i % 2 else [part] for i, part in enumerate(re.split(r"\{([^}]*)\}", text))]
    return ["".join(choice) for choice in product(*parts)]


def missing_paths(line: str) -> list[str]:
    named = re.findall(rf"(?<![\w/.-])(?:{'|'.join(ROOMS)})/[\w./*{{}},…-]*", line)
    paths = [path.replace("…", "*").rstrip(".,") for whole in named for path in alternatives(whole.rstrip(".,"))]
    return [path for path in paths if not path.startswith(CREATED) and not glob.glob(str(ROOT / path))]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http:", "https:")):
            continue
        file, _, heading = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name(page)}: {target}"
        assert not heading or heading in anchors(path), f"{name(page)}: no heading {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page):
    assert [path for line in code(text_of(page)) for path in missing_paths(line)] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_knows_its_targets(page):
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M).group(1).split()
    targets = [match.group(1) for line in code(text_of(page)) if (match := re.match(r"make ([a-z][\w-]*)", line))]
    assert set(targets) <= set(phony)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_accepted(page, capsys):
    for line in code(text_of(page)):
        found = re.search(r"(?:python3? (?:-\S+ )*tools/(?=\w+\.py)|^\s*vssl )(\w+)(?:\.py)?\b(.*)", line)
        if not found or any(sign in found.group(2) for sign in "[{…"):
            continue  # a synopsis
        argv = shlex.split(found.group(2), comments=True)
        if not argv:
            continue  # the tool's name alone
        try:
            PARSERS[found.group(1)](argv).parse_args(argv)
        except SystemExit as stopped:
            assert stopped.code == 0, f"{name(page)}: {line}\n{capsys.readouterr().err}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in PAGES if page.parent == ROOT / "docs" and page.name not in index] == []


def test_the_configs_for_your_own_data_load(tmp_path):
    """As the page says: anywhere, with the two additions in either order."""
    whole, segmentation, fixed, learned = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/your_data.md").read_text().split("## 2.")[1].split("## 3.")[0], re.S
    )
    configs = {
        "mine": whole,
        "mine_fixed": fixed,
        "mine_segmentation": whole + segmentation,
        "mine_policy": whole + learned,
    }
    for stem, text in configs.items():
        (tmp_path / f"{stem}.py").write_text(text)
    loaded = {stem: load_config(tmp_path / f"{stem}.py") for stem in configs}
    assert loaded["mine"].feedback.pools.segmentation.dataset.root == "data/mine/ade20k"
    assert loaded["mine"].unlabeled.root == loaded["mine_fixed"].unlabeled.root == "data/mine/unlabeled"
    assert loaded["mine_fixed"].feedback is None and loaded["mine_fixed"].designer.type.__name__ == "Identity"
    assert list(loaded["mine_segmentation"].feedback.tasks) == ["segmentation"]
    assert loaded["mine_policy"].designer.type.__name__ == "GlobalPolicy"
    assert loaded["mine_policy"].designer_optimizer.lr == 0.01
