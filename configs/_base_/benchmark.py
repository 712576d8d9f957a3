"""What the comparisons of the embedded benchmark share: start, arms of the verdict, recipes, places of the data.

Settings and the best fixed recipe are chosen on scenes of seed 0 (validation); the verdict is read on scenes of seed 2
(test), rendered with other random numbers throughout:

    python tools/prepare_data.py scenes                                   # data/scenes
    python tools/prepare_data.py scenes --seed 2 --out data/benchmark

The verdict at twice the budget (configs/scenes/verdict_long.py) is read on scenes of seed 3, data/benchmark_long.
"""

seeds = [0, 1, 2, 3, 4]
correction = "holm"
continues = "backbone"  # as these comparisons were published; SimCLR loses nothing by it (docs/continuing.md)
configs = "configs/scenes"
start = dict(config="simclr_start.py", label="start (SimCLR)")

# --- data: where the training configs find it, by the scenes that a comparison is on ----------------------------------
_every_run = {"threads": 1, "checkpoint_interval": 1_000_000}
cfg_options = {"unlabeled.root": "data/scenes/imagenet/train", **_every_run}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/scenes/ade20k",
    "feedback.pools.depth.dataset.root": "data/scenes/nyuv2",
}
_test = {"unlabeled.root": "data/benchmark/imagenet/train", **_every_run}
_test_feedback = {
    "feedback.pools.segmentation.dataset.root": "data/benchmark/ade20k",
    "feedback.pools.depth.dataset.root": "data/benchmark/nyuv2",
}

# --- science ----------------------------------------------------------------------------------------------------------
# The default recipe's numbers, and those of the best fixed recipe.
_default = {
    "recipe.global_scale": (0.2, 1.0),
    "recipe.ratio": (3 / 4, 4 / 3),
    "recipe.jitter": dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    "recipe.grayscale": 0.2,
    "recipe.blur.p": 0.5,
}
_light = dict(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8)
_no_colour = {**_default, "recipe.jitter": _light, "recipe.grayscale": 0.0}

# Learning rates and designers' settings: the best of each arm's trials (selection.py); controls have the policy's.
_verdict_arms = dict(
    fixed=dict(config="simclr_fixed.py", cfg_options={"optimizer.lr": 5e-4}, label="default recipe"),
    oracle=dict(config="simclr_fixed.py", cfg_options=_no_colour, label="best fixed recipe"),
    vpretraining=dict(config="simclr_policy.py", label="V-Pretraining, one policy"),
    instance=dict(config="simclr_instance.py", label="V-Pretraining, policy per image"),
    unet=dict(config="simclr_unet.py", label="V-Pretraining, U-Net mask"),
    masked=dict(config="simclr_masked.py", label="V-Pretraining, policy and mask"),
    search=dict(config="simclr_search.py", label="candidate search"),
    fixed_same_steps=dict(like="fixed", steps_of="vpretraining", label="default recipe, same steps"),
    frozen=dict(
        like="vpretraining",
        cfg_options={"feedback": None, "value": None, "designer_optimizer": None},
        designer_of="vpretraining",
        label="the learned policy from the start",
    ),
    negated=dict(like="vpretraining", cfg_options={"feedback.control": "negated"}, label="negated feedback"),
    random=dict(like="vpretraining", cfg_options={"feedback.control": "random"}, label="random feedback"),
    shuffled=dict(like="vpretraining", cfg_options={"feedback.control": "shuffled_labels"}, label="shuffled labels"),
)
