"""Every objective from the strongest start, as it ships: the fixed recipe and the designed run, at one cost.

The start is MAE's, the best backbone that any objective here makes in the same time. MAE goes on with its own decoder;
the others begin with fresh heads. Each designed arm is compared with the fixed arm of its objective (`against`).
No setting was tuned for this table.

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/compare.py configs/scenes/objectives.py --jobs 2
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "Every objective, fixed and designed"
work_dir = "runs/objectives"
start = dict(config="mae_start.py", label="start (MAE)")
cfg_options, feedback_options = _test, _test_feedback
probes = "configs/probes/benchmark.py"
baseline, candidate = "mae", "mae_designed"
correction = None
seeds = [0, 1, 2]
budget = dict(baseline_steps=500, clock="processor")
# The other designed configs have it themselves: docs/value.md, "What a run costs".
_cheap = {
    "backbone.aligned_blocks": 1,
    "value.batch_size": 16,
    "value.g_down_every": 15,
    "value.freeze_after": 45,
}
arms = dict(
    mae=dict(config="mae_start.py", continues="run", label="MAE"),
    mae_designed=dict(config="mae_vpretraining.py", continues="run", against="mae", label="MAE, designed"),
    simclr=dict(config="simclr_fixed.py", label="SimCLR"),
    simclr_designed=dict(
        config="simclr_unet.py",
        cfg_options=_cheap,
        against="simclr",
        label="SimCLR, designed",
    ),
    vicreg=dict(config="vicreg_fixed.py", label="VICReg"),
    vicreg_designed=dict(config="vicreg_vpretraining.py", against="vicreg", label="VICReg, designed"),
    dino=dict(config="dino_fixed.py", label="DINO"),
    dino_designed=dict(config="dino_vpretraining.py", against="dino", label="DINO, designed"),
    ibot=dict(config="ibot_fixed.py", label="iBOT"),
    ibot_designed=dict(config="ibot_vpretraining.py", against="ibot", label="iBOT, designed"),
    dinov2=dict(config="dinov2_fixed.py", label="DINOv2"),
    dinov2_designed=dict(config="dinov2_vpretraining.py", against="dinov2", label="DINOv2, designed"),
    dinov3=dict(config="dinov3_fixed.py", label="DINOv3"),
    dinov3_designed=dict(config="dinov3_vpretraining.py", against="dinov3", label="DINOv3, designed"),
    ijepa=dict(config="ijepa_fixed.py", label="I-JEPA"),
    ijepa_designed=dict(config="ijepa_vpretraining.py", against="ijepa", label="I-JEPA, designed"),
    mix=dict(config="mix_fixed.py", label="MAE + DINO"),
    mix_designed=dict(config="mix_vpretraining.py", against="mix", label="MAE + DINO, designed"),
    neco=dict(config="neco_fixed.py", label="NeCo"),
    neco_designed=dict(config="neco_vpretraining.py", against="neco", label="NeCo, designed"),
    paka=dict(config="paka_fixed.py", label="PaKA"),
    paka_designed=dict(config="paka_vpretraining.py", against="paka", label="PaKA, designed"),
)
