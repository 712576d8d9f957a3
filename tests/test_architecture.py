"""Who may know whom: the rooms of the house import only what their row allows."""

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vssl"

# room -> the rooms of vssl that it may import from, and modules of their own.
EVERY_ROOM = {"counts", "known_keys", "__version__"}
MAY_IMPORT = {
    "datasets": {
        "compat", "data_folders", "number_file", "parts", "processes", "progress", "sourced_images", "whole_files",
    },
    "views": {"draws", "whole_files"},
    "designers": {"distributed", "draws", "number_file", "parts", "sourced_images", "views", "whole_files"},
    "learner": {"draws", "objectives", "parts", "views", "whole_files"},  # objectives: for type annotations only
    "objectives": {"distributed", "draws", "learner", "parts", "views"},
    "feedback": {"data_folders", "datasets", "distributed", "draws", "learner"},
    "value": set(),
    "language": {
        "datasets", "designers", "distributed", "draws", "feedback", "whole_files", "learner", "objectives", "parts",
        "probes", "scores",
    },
    "engine": {
        "compat", "config_files", "datasets", "designers", "distributed", "draws", "environment", "feedback",
        "learner", "objectives", "options", "parts", "probes", "progress", "value", "views", "whole_files",
    },
    "probes": {"compat", "data_folders", "datasets", "learner", "scores", "whole_files"},
    "reports": {"scores", "whole_files"},
    "export": {"learner", "reports", "scores", "whole_files"},
    "comparison": {
        "arm_settings", "compat", "config_files", "engine", "environment", "whole_files", "options", "parts", "probes",
        "processes", "progress", "reports", "results",
    },
    "sweep": {
        "arm_settings", "comparison", "compat", "config_files", "engine", "environment", "whole_files", "parts",
        "probes", "processes", "progress", "reports", "scores",
    },
    "results": {"compat", "config_files", "engine", "parts", "reports", "scores", "whole_files"},
    "commands": {
        "arm_settings", "benchmarks", "comparison", "compat", "config_files", "data_folders", "datasets", "engine",
        "environment", "export", "learner", "options", "probes", "reports", "results", "sweep", "whole_files",
    },
    "benchmarks": {
        "config_files", "datasets", "designers", "draws", "engine", "feedback", "whole_files", "learner", "objectives",
        "options", "probes", "processes", "progress", "value", "views",
    },
}  # fmt: skip
OPENMMLAB = {"mmcv", "mmengine", "mmseg"}
WITHOUT_OPENMMLAB = {"designers", "feedback", "language", "learner", "objectives", "reports", "value", "views"}


def imports(room: str) -> set[tuple[str, str]]:
    """(file, imported module) for every import in a room, also inside functions."""
    found = set()
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            found |= {(str(path.relative_to(PACKAGE)), module) for module in modules}
    return found


def test_every_room_is_in_the_table():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms == set(MAY_IMPORT)


def test_a_module_is_told_by_its_name_alone():
    """But those that every room may have."""
    names = [path.name for path in PACKAGE.rglob("*.py") if "configs" not in path.relative_to(PACKAGE).parts]
    shared = {name for name, times in Counter(names).items() if times > 1}
    assert shared == {"__init__.py", "base.py", "command.py"}


def test_a_class_is_told_by_its_name_alone():
    modules = [path for path in PACKAGE.rglob("*.py") if "configs" not in path.relative_to(PACKAGE).parts]
    bodies = [ast.parse(path.read_text()).body for path in modules]
    names = Counter(node.name for body in bodies for node in body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1 and not name.startswith("_")] == []


@pytest.mark.slow
@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_knows_only_its_neighbours(room):
    strangers = [
        (file, module)
        for file, module in imports(room)
        if module.startswith("vssl.") and module.split(".")[1] not in MAY_IMPORT[room] | EVERY_ROOM | {room}
    ]
    assert not strangers


@pytest.mark.parametrize("room", sorted(WITHOUT_OPENMMLAB))
def test_the_maths_does_not_depend_on_openmmlab(room):
    assert not [(file, module) for file, module in imports(room) if module.split(".")[0] in OPENMMLAB]


def test_albumentations_which_nobody_maintains_is_in_one_file():
    found = {(file, module.split(".")[0]) for room in MAY_IMPORT for file, module in imports(room)}
    assert {file for file, module in found if module == "albumentations"} == {"datasets/joint.py"}


def test_optuna_which_is_an_extra_is_in_one_file():
    found = {(file, module.split(".")[0]) for room in MAY_IMPORT for file, module in imports(room)}
    assert {file for file, module in found if module == "optuna"} == {"sweep/study.py"}


def test_the_value_room_imports_torch_alone():
    strangers = {module.split(".")[0] for _, module in imports("value")} - sys.stdlib_module_names
    assert strangers <= {"jaxtyping", "torch", "vssl"}


def test_a_config_is_data_without_functions():
    """mmengine cannot call in a config what it imports lazily, so a function there could only be copied."""
    functions = ast.FunctionDef | ast.Lambda
    found = {
        path.name
        for path in (PACKAGE.parent / "configs").rglob("*.py")
        if any(isinstance(node, functions) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert not found
