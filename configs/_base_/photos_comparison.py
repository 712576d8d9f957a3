"""What the comparisons on photographs share: options, recipes, controls. docs/photos.md prepares data/photos.

Settings are chosen on a part of NYUv2's training images (selection.py): the first 636 of the 795 in the order of their
numbers give feedback and fit the heads, the other 159 are scored. Numbers follow the recordings, so that neighbouring
frames of a room stay on one side. Verdicts are read on the test images.

MAE and SimCLR go on with their own decoder or head (`continues`). DINO begins with a fresh head on the MAE start's
backbone.
"""

seeds = [0, 1, 2]
correction = "holm"
configs = "configs/photos"
cfg_options = {"unlabeled.root": "data/photos/stream", "threads": 1, "checkpoint_interval": 1_000_000}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/photos/nyuv2_seg13",
    "feedback.pools.depth.dataset.root": "data/photos/nyuv2",
}

# The arms of a verdict beside `fixed` and `vpretraining`.
_controls = dict(
    frozen=dict(
        like="vpretraining",
        cfg_options={"feedback": None, "value": None, "designer_optimizer": None},
        designer_of="vpretraining",
        label="the learned policy from the start",
    ),
    negated=dict(like="vpretraining", cfg_options={"feedback.control": "negated"}, label="negated feedback"),
    random=dict(like="vpretraining", cfg_options={"feedback.control": "random"}, label="random feedback"),
)
