"""Search over MAE's fixed constructions from MAE's own start, on the validation scenes: the rival of V-Pretraining.

The space holds the constructions of configs/scenes/landscape_mae.py: mask ratio, crop, light, colour, gray, flip. What
the search finds is an arm of configs/scenes/verdict_mae.py, at the search's cost (docs/sweep.md).

Command:  python tools/prepare_data.py scenes
          python tools/sweep.py configs/scenes/sweep_mae.py --trials 24
Expected: docs/sweep.md, "Measured"
"""

title = "Search over MAE's constructions"
work_dir = "runs/sweep_mae"
configs = "configs/scenes"
cfg_options = {"unlabeled.root": "data/scenes/imagenet/train", "threads": 1, "checkpoint_interval": 1_000_000}
start = dict(config="mae_start.py", label="start (MAE)")
trial = dict(
    config="mae_start.py",
    cfg_options={"recipe.jitter": dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=0.8)},
    continues="run",
)
budget = dict(baseline_steps=470, clock="processor")
probes = "configs/probes/scenes.py"
scores = "segmentation/mIoU"
sampler, trials, seed, seeds = "tpe", 24, 0, [0]
pruning = dict(count=4, reduction=2)
space = {
    "objective.mask_ratio": dict(low=0.3, high=0.9),
    "recipe.global_scale.0": dict(low=0.1, high=1.0),
    "recipe.jitter.brightness": dict(low=0.0, high=0.4),
    "recipe.jitter.contrast": dict(low=0.0, high=0.4),
    "recipe.jitter.saturation": dict(low=0.0, high=0.4),
    "recipe.jitter.hue": dict(low=0.0, high=0.1),
    "recipe.grayscale": dict(low=0.0, high=0.5),
    "recipe.flip": dict(low=0.0, high=0.5),
}
