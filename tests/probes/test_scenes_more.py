"""configs/probes/scenes_more.py on miniature data."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vssl.probes.run import build_probes, run_probes

CONFIG = Path(__file__).parents[2] / "configs/probes/scenes_more.py"
KINDS = [
    "SegmentationProbe", "DepthProbe", "LinearProbe", "InContextSegmentationProbe", "InContextDepthProbe",
    "LowShotProbe", "AttentiveProbe", "CorrespondenceProbe",
]  # fmt: skip


@pytest.mark.slow
def test_it_holds_every_further_kind_of_probe_and_they_run(scenes, backbone):
    cfg = Config.fromfile(CONFIG)
    cfg.device = "cpu"
    assert {type(probe).__name__ for probe in build_probes(cfg).values()} == set(KINDS)
    for name, probe in cfg.probes.items():
        for split in ("train", "val") if "train" in probe else ():
            if isinstance(probe[split], str):
                probe[split] = str(scenes / "imagenet" / split)
            else:
                probe[split].data_root = str(scenes / ("nyuv2" if "depth" in name else "ade20k"))
        if "corruptions" in probe:
            probe.corruptions.update(names=["contrast"], severities=[5])
    cfg.probes.low_shot.update(shots=[1, 2], draws=2)
    cfg.probes.attentive.schedule.update(steps=2, batch_size=4)
    names = [name for name in cfg.probes if name != "correspondence"]  # tested beside its data
    results = run_probes(backbone, cfg, only=names)
    assert [result["name"] for result in results] == names
    assert all(next(iter(result["scores"].values())) is not None for result in results)
