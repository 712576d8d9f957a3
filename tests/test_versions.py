"""The versions that pyproject.toml allows are those that were run: constraints-oldest.txt and constraints.txt."""

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it there

ROOT = Path(__file__).parents[1]
FILES = ("constraints-oldest.txt", "constraints.txt")


def pinned(file: str) -> dict[str, Version]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text().splitlines())
    return {canonical(name): Version(version) for name, _, version in (line.partition("==") for line in lines if line)}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project) -> dict[str, Requirement]:
    extras = project["optional-dependencies"]
    wanted = map(Requirement, [*project["dependencies"], *extras["tracking"], *extras["test"]])
    return {canonical(requirement.name): requirement for requirement in wanted}


def test_every_lower_bound_is_the_version_that_make_test_oldest_runs(requirements):
    oldest = pinned("constraints-oldest.txt")
    for name, requirement in requirements.items():
        (bound,) = (s.version for s in requirement.specifier if s.operator == ">=")
        assert oldest[name] == Version(bound), name


def test_the_newest_versions_are_allowed(requirements):
    newest = pinned("constraints.txt")
    for name, requirement in requirements.items():
        assert newest[name] in requirement.specifier, name


@pytest.mark.parametrize("file", FILES)
def test_both_distributions_of_cv2_have_one_version(file):
    versions = pinned(file)
    assert versions["opencv-python"] == versions["opencv-python-headless"]


def test_pythons_are_those_of_the_makefile_and_of_ruff_and_mypy(project):
    makefile = (ROOT / "Makefile").read_text()
    (oldest,) = re.findall(r"^OLDEST_PYTHON \?= python(\S+)$", makefile, re.MULTILINE)
    assert project["requires-python"].startswith(f">={oldest},")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    assert tools["mypy"]["python_version"] == oldest
