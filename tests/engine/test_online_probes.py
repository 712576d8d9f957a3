"""Probes of a run on its way: when, what, and that the run does not notice."""

import copy
import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from vssl.engine.budget import CLOCKS
from vssl.engine.config import ConfigError, load_config
from vssl.engine.online_probes import OnlineProbesHook
from vssl.engine.training import build_runner, train
from vssl.probes.run import build_probes, run_probes

ROOT = Path(__file__).parents[2]

INLINE = """
from torch.optim import AdamW
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadDepthAnnotation, PackSegInputs, Resize
from vssl.probes.image.classification import KNNProbe
from vssl.probes.datasets import NYUDepth
from vssl.probes.dense.depth import DepthProbe

steps = [
    dict(type=LoadImageFromFile), dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3),
    dict(type=Resize, scale=(32, 32)), dict(type=PackSegInputs),
]
split = dict(
    type=NYUDepth, data_root="ROOT/nyuv2", pipeline=steps,
    data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
)
held_out = {**split, "data_root": "HELD_OUT/nyuv2"}
"""
PROBES = """
probes = [
    dict(
        interval=4,
        probes=dict(
            depth=dict(
                type=DepthProbe, train=split, val=held_out, size=(32, 32), path="runner",
                schedule=dict(optimizer=dict(type=AdamW, lr=1e-2), steps=3, batch_size=4),
            ),
        ),
    ),
    dict(count=3, probes=dict(knn=dict(type=KNNProbe, train="ROOT", val="HELD_OUT", size=32, k=[3]))),
]
del held_out, split, steps
"""


def lines(run):
    return [json.loads(line) for line in (run / "online_probes.jsonl").read_text().splitlines()]


@pytest.fixture
def probed_config(designed_config, miniature, tmp_path):
    """The designed run with a depth probe fitted by mmengine's Runner and a kNN probe."""
    held_out = shutil.copytree(miniature, tmp_path / "held_out")  # a probe refuses to score what it was fitted on
    text = (tmp_path / "designed.py").read_text() + INLINE + PROBES
    (tmp_path / "probed.py").write_text(text.replace("ROOT", str(miniature)).replace("HELD_OUT", str(held_out)))
    return load_config(tmp_path / "probed.py")


def assert_same(a, b, where=""):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}.{i}")
    else:
        assert a == b or where == ".budget.elapsed", where


@pytest.mark.slow
def test_the_run_does_not_notice_its_probes(probed_config, designed_config, tmp_path):
    """Weights, optimizers, streams, heads and every random generator are the same to the last bit."""
    with_probes = train(probed_config, tmp_path / "with")
    without = train(designed_config, tmp_path / "without")
    a, b = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (with_probes, without))
    assert_same(a, b)
    assert not (without / "online_probes.jsonl").exists()


@pytest.mark.slow
def test_each_probe_has_its_own_cadence_and_time_is_not_counted(probed_config, tmp_path, monkeypatch):
    def slow(*args, **kwargs):
        nonlocal later
        later += 1000.0
        return run_probes(*args, **kwargs)

    later = 0.0
    monkeypatch.setitem(CLOCKS, "elapsed", lambda: time.perf_counter() + later)
    monkeypatch.setattr("vssl.probes.run.run_probes", slow)
    run = train(copy.deepcopy(probed_config), tmp_path / "run")
    rows = lines(run)
    steps = {name: [row["step"] for row in rows if row["probe"] == name] for name in ("depth", "knn")}
    assert steps == {"depth": [0, 4, 6], "knn": [0, 2, 4, 6]}
    times = [row["seconds"] for row in rows]
    assert times == sorted(times) and times[0] == 0
    # what probes cost (seven thousand seconds on this clock) is in nobody's clock: the run's own steps are what is left
    assert times[-1] == pytest.approx(json.loads((run / "run.json").read_text())["seconds"], abs=1e-3)
    assert times[-1] < 1000

    # the last score is that of the exported backbone, as tools/probe.py would give it
    (last,) = [row for row in rows if row["probe"] == "knn" and row["step"] == 6]
    config = {"probes": probed_config.probes[1]["probes"], "device": "cpu"}
    (result,) = run_probes(run / "backbone.safetensors", config)
    assert last["scores"] == result["scores"] and last["card"] == result["card"]


@pytest.mark.slow
def test_a_resumed_run_probes_every_step_once(probed_config, tmp_path, cut_short):
    runner = build_runner(copy.deepcopy(probed_config), tmp_path / "run", seed=0)
    cut_short(runner, 5)  # the last checkpoint and the last probes are of step 4
    run = train(copy.deepcopy(probed_config), tmp_path / "run", resume=True)
    assert [(row["step"], row["probe"]) for row in lines(run) if row["probe"] == "knn"] == [
        (step, "knn") for step in (0, 2, 4, 6)
    ]


@pytest.mark.slow
def test_the_saved_config_holds_the_probes_too(fixed_config, probed_config, tmp_path):
    fixed_config.probes, fixed_config.budget = probed_config.probes[1:], dict(steps=1)
    first = train(fixed_config, tmp_path / "first")
    again = train(load_config(first / "config.py"), tmp_path / "again")  # classes are dotted names in it
    assert [row["scores"] for row in lines(again)] == [row["scores"] for row in lines(first)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (dict(config="configs/probes/none.py", interval=2), r"none\.py does not exist"),
        (dict(config="configs/probes/scenes.py"), "interval=STEPS or count=TIMES"),
        (dict(config="configs/probes/scenes.py", interval=2, count=2), "interval=STEPS or count=TIMES"),
        (dict(config="configs/probes/scenes.py", interval=0), "at least 1"),
        (dict(interval=2), "config=FILE or probes="),
        (dict(config="configs/probes/scenes.py", every=2), r"unknown key 'every'"),
    ],
)
def test_entries_that_make_no_probe_are_refused(fixed_config, tmp_path, entry, message):
    fixed_config.probes = [entry]
    with pytest.raises(ConfigError, match=message):
        train(fixed_config, tmp_path / "run")


@pytest.mark.parametrize("name", ["scenes", "benchmark"])
def test_a_probe_config_is_taken_as_the_file_that_it_is(name):
    hook = OnlineProbesHook(dict(config=str(ROOT / f"configs/probes/{name}.py"), interval=2), data=None)
    assert {"segmentation", "depth", "classification", "knn"} <= build_probes(hook.config).keys()


@pytest.mark.slow
def test_missing_data_is_named_before_the_first_step(probed_config, tmp_path):
    probed_config.probes[1]["probes"]["knn"]["val"] = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(probed_config, tmp_path / "run")
    assert not (tmp_path / "run/metrics.jsonl").exists()
