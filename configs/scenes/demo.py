"""make demo: does V-Pretraining beat the fixed recipe at equal training time, on rendered scenes?

Command:  python tools/compare.py configs/scenes/demo.py          (about 8 minutes on two cores)
Expected: no difference beyond noise (README.md, "What the demo shows")
"""

work_dir = "runs/demo"
seeds = [0, 1, 2]
baseline, candidate = "fixed", "vpretraining"
probes = "configs/probes/scenes.py"
start = dict(config="configs/scenes/mae_start.py", label="start (MAE)")

_fixed, _designed = "configs/scenes/simclr_fixed.py", "configs/scenes/simclr_vpretraining.py"
arms = dict(
    fixed=dict(config=_fixed, budget=dict(seconds=40)),
    vpretraining=dict(config=_designed, budget=dict(seconds=40)),
)
