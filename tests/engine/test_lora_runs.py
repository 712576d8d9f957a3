"""A designed run that trains low-rank additions alone: it learns, goes on exactly, and exports a plain backbone."""

import copy

import pytest
import timm
import torch
from safetensors.torch import load_file

from vssl.datasets.files import DataWarning
from vssl.engine import ConfigError
from vssl.engine.config import check_training_config
from vssl.engine.training import build_runner

pytest.importorskip("peft")  # the extra "lora"


@pytest.mark.slow
def test_a_designed_run_learns_goes_on_exactly_and_exports_timms_names(designed_config, tmp_path, cut_short):
    config = designed_config
    config.backbone.lora = dict(rank=2)
    with pytest.warns(DataWarning, match="these are random"):
        whole = build_runner(copy.deepcopy(config), tmp_path / "whole", seed=0)
    start = copy.deepcopy(whole.learner.student.state_dict())
    whole.train()
    part = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0)
    cut_short(part, 5)  # the last checkpoint is of step 4
    resumed = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0, resume=True)
    resumed.train()
    for part in ("learner", "designer"):
        ours, theirs = (getattr(r.train_loop, part).state_dict() for r in (whole, resumed))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moved = {n for n, now in whole.learner.student.state_dict().items() if not torch.equal(now, start[n])}
    assert moved and all(".lora_" in name for name in moved)

    exported = load_file(tmp_path / "whole/backbone.safetensors")
    settings = {k: v for k, v in config.backbone.items() if k not in ("type", "name", "aligned_blocks", "lora")}
    plain = timm.create_model(config.backbone.name, num_classes=0, global_pool="", dynamic_img_size=True, **settings)
    plain.load_state_dict(exported)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    student = whole.learner.student.eval()
    normalised = (images - student.mean) / student.std
    torch.testing.assert_close(plain.eval().forward_features(normalised), student(images), rtol=1e-4, atol=1e-5)


def test_a_misspelt_setting_is_told(designed_config):
    designed_config.backbone.lora = dict(ranks=2)
    with pytest.raises(ConfigError, match=r"backbone\.lora: unknown key 'ranks' \(did you mean 'rank'"):
        check_training_config(designed_config)
