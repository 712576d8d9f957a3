"""A sweep that cannot be run is refused in one line, before any work."""

import sys
from pathlib import Path

import pytest

from vssl.commands.sweep import main, shown_command
from vssl.comparison import default_workers
from vssl.comparison.refusal import OtherSettings
from vssl.engine.config import ConfigError
from vssl.sweep import read_sweep
from vssl.sweep.command import _belong_together
from vssl.sweep.study import Study, storage_url

CHANGES = [
    ({"budget": {"steps": 8}}, "give dict(baseline_steps=N"),
    ({"scores": ["segmentation/mIoU", "depth/RMSE", "depth/AbsRel"]}, "give one, or two that differ"),
    ({"scores": "mIoU"}, "expected 'probe/score'"),
    ({"sampler": "grid"}, "sampler='grid'; choose one of tpe, random"),
    ({"trials": 0}, "trials=0; expected a whole number ≥ 1"),
    ({"pruning": {"count": 1}}, "pruning: count=1; expected a whole number ≥ 2"),
    ({"pruning": {"redction": 3}}, "unknown key 'redction'"),
    ({"pruning": {"count": 4}, "scores": ["segmentation/mIoU", "depth/RMSE"]}, "successive halving needs one score"),
    ({"spase": {}}, "unknown key 'spase'"),
    ({"trial": {"config": "trainig.py"}}, "trainig.py does not exist"),
    ({"seeds": [0, 0]}, "seed 0 is given twice"),
    ({"scores": None}, "expected 'probe/score'"),
    ({"scores": 5}, "expected 'probe/score'"),
    ({"pruning": "yes"}, "pruning is 'yes'; expected dict("),
    ({"trial": "training.py"}, "trial is 'training.py'; expected dict("),
    ({"space": {5: {"low": 0, "high": 1}}}, "space: the key 5 is not text"),
    ({"space": {"budget.steps": {"low": 4, "high": 9}}}, "space: budget.steps is set by the sweep itself"),
    ({"cfg_options": {"budget.steps": 3}}, "cfg_options: budget.steps is set by the sweep itself"),
    ({"cfg_options": "lr"}, "cfg_options is 'lr'; expected a dict such as"),
    ({"space": {"seed": {"low": 4, "high": 9}}}, "space: seed is set by the sweep itself"),
    ({"space": {"flip": {"low": 4, "high": 9, "whole": "no"}}}, "space: flip: whole='no'; give True or False"),
    ({"space": {"flip": {"options": {1: 0.1, 2: 0.2}}}}, "space: flip: the option's name 1 is not text; write '1'"),
]


@pytest.mark.parametrize(("changed", "said"), CHANGES)
def test_a_config_that_is_none_is_refused_with_its_key(folder, written, changed, said):
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        read_sweep({**written, **changed}, "sweep.py")
    assert said in str(refused.value) and str(refused.value).startswith("sweep.py: ")


def test_the_command_line_comes_before_the_config(folder, written):
    sweep = read_sweep(written, trials=7, sampler="tpe", seed=None, work_dir="elsewhere")
    assert (sweep.trials, sweep.sampler, sweep.seed, sweep.work_dir) == (7, "tpe", 0, Path("elsewhere"))


def test_options_of_the_sweep_are_those_of_its_start_and_of_every_trial(folder, written):
    sweep = read_sweep({**written, "cfg_options": {"threads": 2}, "configs": str(folder)}, "sweep.py")
    assert sweep.template.start.cfg_options == {"threads": 2}
    assert sweep.options == {"threads": 2, **written["trial"]["cfg_options"]}
    assert sweep.template.arms["baseline"].config == folder / "training.py"


def test_settings_of_the_sweep_cannot_be_fixed_for_a_trial(folder, written):
    trial = {**written["trial"], "cfg_options": {"budget": {"steps": 3}}}
    with pytest.raises(ValueError, match="trial: cfg_options: budget is set by the sweep itself"):
        read_sweep({**written, "trial": trial}, "sweep.py")


def test_a_folder_belongs_to_one_study(folder):
    _belong_together(folder, {"study": "a", "storage": None})
    _belong_together(folder, {"study": "a", "storage": None})
    with pytest.raises(OtherSettings, match=r"study: 'a' then, 'b' now\); give --study and --storage as then"):
        _belong_together(folder, {"study": "b", "storage": None})
    (folder / "study.json").unlink()
    (folder / "trial_000").mkdir()
    with pytest.raises(OtherSettings, match=r"trial_000 is there, but no study\.json"):
        _belong_together(folder, {"study": "a", "storage": None})


def test_a_storage_in_memory_is_refused(folder):
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match="lost with the process"):
            storage_url(url, folder)


def test_the_storage_option_cannot_be_shortened(capsys):
    with pytest.raises(SystemExit, match="2"):  # the report leaves out what follows --storage
        main(["sweep.py", "--storag", "postgresql://me:secret@host/db"])


@pytest.mark.slow
def test_a_score_that_the_probes_lack_is_refused_with_the_nearest(with_scenes, sweep):
    with pytest.raises(ValueError, match=r"no score 'segmentation/mIOU' .*; did you mean 'segmentation/mIoU'"):
        sweep(scores="segmentation/mIOU")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_missing_data_is_refused_and_leaves_nothing(folder, sweep):
    with pytest.raises((ValueError, OSError), match="scenes/imagenet/train"):
        sweep(instead=default_workers())  # others remember that a folder of this name was there
    assert not Path("runs").exists()


def test_without_optuna_one_line_says_how_to_install_it(folder, written, monkeypatch, capsys):
    Path("sweep.py").write_text("\n".join(f"{key} = {value!r}" for key, value in written.items()))
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(
        "vssl.commands.sweep.refuse_for_comparing", lambda *_: None
    )  # the fixture's folder has no images
    assert main(["sweep.py"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "needs optuna: python -m pip install 'vssl[sweep]'" in said


def test_a_config_that_does_not_exist_is_refused(capsys):
    assert main(["scenes/sweep_mea"]) == 1
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.slow
def test_a_storage_that_cannot_be_opened_is_refused_without_its_password(folder, written):
    sweep = read_sweep(written)
    for url, said in (("nothing", "not a URL such as"), ("postgresql://me:secret@nowhere.invalid/db", "me:")):
        with pytest.raises(ValueError, match=said) as refused:
            Study(sweep, ["maximize"], {}, url, "s")
        assert "secret" not in str(refused.value)
    assert "secret" not in shown_command(["sweep.py", "--storage", "postgresql://me:secret@host/db"])
    assert "secret" not in shown_command(["sweep.py", "--storage=postgresql://me:secret@host/db"])


@pytest.mark.slow
def test_a_study_of_other_settings_is_refused(folder, written):
    url = storage_url(None, folder)
    Study(read_sweep(written), ["maximize"], {"trial.batch_size": 8}, url, "s")
    Study(read_sweep(written), ["maximize"], {"trial.batch_size": 8}, url, "s")
    with pytest.raises(ValueError, match=r"trial.batch_size: 8 then, 4 now\); give another --work-dir"):
        Study(read_sweep(written), ["maximize"], {"trial.batch_size": 4}, url, "s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slurm", "time=60"], "give --executor slurm too"),
        (["--executor", "slurm", "--slurm", "time=60"], "give --storage URL"),
        (["--executor", "slurm", "--storage", "postgresql://me:secret@host/db"], "--storage env:NAME"),
        (["--executor", "slurm", "--storage", "postgresql://host/db?user=me&password=secret"], "--storage env:NAME"),
        (["--executor", "local", "--storage", "env:NOT_SET_HERE"], "NOT_SET_HERE is not set"),
    ],
)
def test_jobs_that_could_not_share_a_study_are_refused(with_scenes, sweep, words, said):
    with pytest.raises(ConfigError, match=said) as refused:
        sweep(*words)
    assert "secret" not in str(refused.value)
    assert not Path("runs/start").exists()
