"""Configs are found by path and by name, and come with the package."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from vssl.config_files import CONFIGS, RENAMED, config_file, read_config
from vssl.datasets.scenes.scene_files import SPLITS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["configs/scenes/demo.py", "scenes/demo.py", "scenes/demo"])
def test_a_config_of_the_package_is_found_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file(name).resolve() == ROOT / "configs/scenes/demo.py"


def test_a_file_at_the_path_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "scenes/demo.py"
    mine.parent.mkdir()
    mine.write_text("")
    assert config_file("scenes/demo.py").resolve() == mine


@pytest.mark.parametrize(
    ("name", "below", "said"),
    [
        ("scenes/simclr_polcy.py", "", "did you mean scenes/simclr_policy"),
        ("x.py", "probes/", "configs/probes/|there are probes/"),
        ("../scenes/demo", "", "does not exist"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(name, below, said):
    with pytest.raises(FileNotFoundError, match=said):
        config_file(name, below)


def test_a_module_under_its_former_name_is_refused_with_the_new_one(tmp_path):
    file = tmp_path / "config.py"  # as a run that was made before the renaming wrote it
    for old, new in RENAMED.items():
        assert find_spec(old) is None and find_spec(new)
        file.write_text(f"objective = dict(type='{old}.Name')\n")
        with pytest.raises(
            ImportError, match=rf"config.py names {old}, which is now {new}\. Write new names there: perl"
        ):
            read_config(file)
    file.write_text("objective = dict(type='vssl.objectives.masks_of_mine.Name')\n")
    assert read_config(file).objective.type.endswith("Name")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size = (", r"config\.py cannot be read \(SyntaxError"),
        ("size = 1 / 0", "cannot be read .ZeroDivisionError: division by zero"),
        (
            "import copy\nfrom mmengine.config import read_base\n"
            "with read_base():\n    from vssl.configs.probes.scenes import *\n"
            "mine = copy.deepcopy(probes)\n",
            r"a name alone and cannot be called in it: write .* settings\.to_dict\(\) to copy",
        ),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_with_the_cause(text, said, tmp_path):
    file = tmp_path / "config.py"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_config(file)


@pytest.mark.slow
def test_the_command_in_the_refusal_writes_all_new_names(tmp_path):
    file = tmp_path / "it's mine.py"
    file.write_text(
        "a = 'vssl.objectives.masks.One'\nb = 'vssl.views.policy.Two'\nc = 'vssl.views.policy_file.Three'\n"
    )
    with pytest.raises(ImportError) as refused:
        read_config(file)
    subprocess.run(str(refused.value).split("there: ")[1], shell=True, check=True)
    assert dict(read_config(file)) == dict(
        a="vssl.objectives.patch_masks.One", b="vssl.views.view_policy.Two", c="vssl.views.policy_file.Three"
    )


@pytest.mark.slow
def test_a_wheel_has_every_config_and_trains_outside_the_clone(tmp_path):
    source = tmp_path / "source"  # setuptools leaves its build folder behind
    for name in ("vssl", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("vssl-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    configs = {f"vssl/configs/{path.relative_to(CONFIGS).as_posix()}" for path in CONFIGS.rglob("*.py")}
    templates = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vssl").rglob("templates/*")}
    assert configs <= names and templates and templates <= names
    assert any(name.endswith("entry_points.txt") for name in names)

    def vssl(*arguments: str) -> subprocess.CompletedProcess:
        code = f"import sys; sys.argv[1:] = {arguments!r}; from vssl.commands.main import main; sys.exit(main())"
        env = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "VSSL_RESULTS": "results.sqlite"}
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)

    rendered = vssl("data", "scenes", "--size", "32", "--counts", *(f"{name}=12" for name in SPLITS))
    assert rendered.returncode == 0, rendered.stderr
    trained = vssl("train", "scenes/mae_start", "--cfg-options", "budget.steps=2", "batch_size=4")
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / "runs/mae_start/seed0/backbone.safetensors").is_file()
    assert "recorded in results.sqlite: 1 new" in trained.stdout
