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
    simclr_designed=dict(config="simclr_unet.py", cfg_options=_cheap, against="simclr", label="SimCLR, designed"),
)
_others = dict(
    vicreg="VICReg", dino="DINO", ibot="iBOT", dinov2="DINOv2", dinov3="DINOv3", ijepa="I-JEPA", mix="MAE + DINO",
    neco="NeCo", paka="PaKA",
)  # fmt: skip
for _name, _label in _others.items():
    arms[_name] = dict(config=f"{_name}_fixed.py", label=_label)
    arms[f"{_name}_designed"] = dict(config=f"{_name}_vpretraining.py", against=_name, label=f"{_label}, designed")
