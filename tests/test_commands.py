"""What every command does with its command line and its failures."""

import argparse
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from vssl import __version__
from vssl.commands import benchmark, data, main, run_command
from vssl.datasets import UnreadableImage
from vssl.datasets.prepare.command import add_commands
from vssl.options import CfgOptions, read_value

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 1e-3), ("True", True), ("true", True), ("None", None), ("[0.5,0.2]", [0.5, 0.2]),
        ("1,2", (1, 2)),
        ("dict(a=0,b=1)", dict(a=0, b=1)), ('{"a": dict(b=[1])}', {"a": {"b": [1]}}), ("'2024'", "2024"),
        ("my data, v2/imgs", "my data, v2/imgs"), ("a,b", "a,b"), ("图像/ünï", "图像/ünï"), ("x=y", "x=y"),
        ("v[1]", "v[1]"),
        (r"C:\data", r"C:\data"), ("", ""), ("bf16", "bf16"), ("print(1)", "print(1)"), ("1_0x", "1_0x"),
    ],
)  # fmt: skip
def test_a_value_is_a_python_literal_or_else_text(text, value):
    assert read_value(text) == value and type(read_value(text)) is type(value)


def test_what_replaces_text_stays_text_unless_it_is_none():
    assert read_value("2024", instead_of="data/images") == "2024"
    assert read_value("None", instead_of="data/images") is None
    assert read_value("2024", instead_of=3) == 2024


@pytest.mark.parametrize("text", ["dict(4)", "dict(a=open('x'))", "dict(a=1", "{'a': print()}", "dict(**{'a': 1})"])
def test_settings_that_cannot_be_read_are_refused(text):
    with pytest.raises(ValueError, match="not settings that can be read"):
        read_value(text)


def test_only_the_first_equals_sign_separates():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=CfgOptions)
    options = parser.parse_args(["--cfg-options", "a.b=/x/k=v", "c=1 2", "--cfg-options", "d="])
    assert options.cfg_options == {"a.b": "/x/k=v", "c": "1 2", "d": ""}
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--cfg-options", "no-value"])
    assert stopped.value.code == 2


class _Stopped(KeyboardInterrupt):
    exit_code = 75


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("lr=-1 must be positive"), 1, "error: lr=-1 must be positive"),
        (OSError(28, "No space left on device", "runs/a"), 1, "No space left on device: 'runs/a'"),
        (MemoryError(), 1, "error: MemoryError"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (_Stopped("checkpoint written"), 75, "checkpoint written"),
        (ZeroDivisionError("x"), 70, "This is a fault of vssl"),
    ],
)
def test_every_failure_has_its_exit_code(capsys, error, code, line):
    def execute(options):
        raise error

    assert run_command(argparse.ArgumentParser(), execute, []) == code
    printed = capsys.readouterr().err
    assert line in printed
    assert ("Traceback" in printed) == (code == 70)


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise UnreadableImage("a.jpg: not a readable image")


def test_a_failure_in_a_worker_of_a_data_loader_is_one_line_too(capsys):
    def execute(options):
        next(iter(DataLoader(Broken(), num_workers=1)))

    assert run_command(argparse.ArgumentParser(), execute, []) == 1
    assert capsys.readouterr().err == "error: a.jpg: not a readable image\n"


def test_debug_shows_where_an_expected_failure_came_from(capsys):
    def execute(options):
        raise ValueError("wrong")

    run_command(argparse.ArgumentParser(), execute, ["--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", main.COMMANDS)
def test_one_name_has_every_command(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main([name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: vssl {name}" in capsys.readouterr().out
    assert name in main.usage()


@pytest.mark.parametrize(
    ("argv", "word", "ours"),
    [
        (["train"], "--out", "--work-dir"), (["compare"], "--out", "--work-dir"), (["sweep"], "--out", "--work-dir"),
        (["probe"], "--work-dir", "--out"), (["export"], "--work-dir", "--out"), (["policy"], "--work-dir", "--out"),
        (["data", "scenes"], "--work-dir", "--out"), (["benchmark", "ops"], "--work-dir", "--out"),
        (["advise"], "--work-dir", "--out"), (["probe"], "--seed", "--seeds"), (["new"], "--backbone", "--model"),
    ],
)  # fmt: skip
def test_the_word_of_another_command_is_taken_with_a_note(argv, word, ours, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main([*argv, f"{word}=3", "--help"])
    said = capsys.readouterr()
    assert stopped.value.code == 0 and f"note: {word} is called {ours} here" in said.err
    assert f"{ours} " in said.out and f"{word} " not in said.out


@pytest.mark.parametrize("argv", [["--out", "runs/a"], ["--out=runs/a"], ["--work-dir", "runs/a"]])
def test_another_word_gives_the_same_value(argv):
    parser, seen = argparse.ArgumentParser(), []
    parser.add_argument("--work-dir", required=True)
    assert run_command(parser, seen.append, argv, {"--out": "--work-dir"}) == 0
    assert seen[0].work_dir == "runs/a"


def test_the_package_is_the_command():
    said = subprocess.run([sys.executable, "-m", "vssl", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == __version__


def test_an_unknown_command_is_refused_with_the_list(capsys):
    assert main.main(["trian"]) == 2
    assert "there is no command 'trian'" in capsys.readouterr().err


def test_without_a_command_there_is_the_list(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["vssl"])
    assert main.main() == 0
    assert "usage: vssl COMMAND" in capsys.readouterr().out


def test_doctor_finds_data_at_any_depth_and_what_is_not_finished(capsys, tmp_path):
    for name in ("scenes/dataset.json", "photos/nyuv2/dataset.json", "half/dataset.json.unfinished"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    assert main.main(["doctor", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path}/photos/nyuv2\n" in said and f"{tmp_path}/half: not finished, prepare it again" in said


def test_doctor_says_versions_and_what_does_not_work(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert main.main(["doctor", "--data", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "torch " in said and "no prepared data below" in said
    assert "FAILS  torch.compile has a compiler: OSError: no g++" in said


@pytest.mark.parametrize("tool", sorted(path.stem for path in (ROOT / "tools").glob("*.py")))
def test_help_needs_no_heavy_import(tool):
    check = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path({str(ROOT / 'tools' / tool)!r} + '.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "loaded = {'torch', 'mmengine', 'timm', 'kornia'} & set(sys.modules); assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stderr


def test_prepare_data_names_every_command_that_there_is():
    commands = argparse.ArgumentParser().add_subparsers()
    add_commands(commands)
    for module in data.LOOKING.values():
        module.add_command(commands)
    helps = {action.dest: action.help for action in commands._choices_actions}
    assert helps == data.NAMES


@pytest.mark.parametrize("name", benchmark.NAMES)
def test_benchmark_names_every_benchmark_as_its_own_parser_does(name):
    commands = argparse.ArgumentParser().add_subparsers()
    module, what = benchmark.NAMES[name]
    import_module(f"vssl.benchmarks.{module}").add_command(commands)
    assert [(action.dest, action.help) for action in commands._choices_actions] == [(name, what)]


def _environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}
