"""What the comparisons on photographs share: starts, options, arms. docs/photos.md prepares data/photos.

Settings are chosen on a part of NYUv2's training images (selection.py): the first 636 of the 795 in the order of their
numbers give feedback and fit the heads, the other 159 are scored. Numbers follow the recordings, so that neighbouring
frames of a room stay on one side. Verdicts are read on the test images.
"""

seeds = [0, 1, 2]
correction = "holm"
_root = "data/photos"
_every_run = {"unlabeled.root": f"{_root}/stream", "threads": 1, "checkpoint_interval": 1_000_000}
_for_selection = {
    f"feedback.pools.{task}.{key}": value
    for task in ("segmentation", "depth")
    for key, value in (("dataset.limit", 636), ("train", 448), ("meta", 160), ("meta_batch_size", 160))
}


def _start(objective: str) -> dict:
    return dict(config=f"configs/photos/{objective}_start.py", cfg_options=_every_run, label=f"start ({objective})")


def _arm(config: str, label: str, options: dict) -> dict:
    """MAE and SimCLR go on with their own decoder or head; DINO begins with a fresh one on the MAE start's backbone."""
    arm = dict(config=f"configs/photos/{config}.py", cfg_options={**_every_run, **options})
    own = {} if config.startswith("dino") else {"continues": "run"}
    return {**arm, **own, **({"label": label} if label else {})}


def _fixed(objective: str, label: str = "", **options) -> dict:
    """An arm without designer; options that turn the objective's recipe into another one."""
    return _arm(f"{objective}_fixed", label, options)


def _designed(config: str, label: str = "", **options) -> dict:
    """An arm with a designer; `config` is the objective's and the designer's, e.g. mae_policy."""
    labels = {f"feedback.pools.{task}.dataset.root": f"{_root}/{folder}" for task, folder in _labeled}
    return _arm(config, label, {**labels, **options})


_labeled = (("segmentation", "nyuv2_seg13"), ("depth", "nyuv2"))


def _views(scale=(0.2, 1.0), b=0.4, c=0.4, s=0.4, h=0.1, gray=0.2, blur=0.5) -> dict:
    """Options of a recipe with jitter and blur (SimCLR's, or DINO's for its global crops)."""
    ratio = (1.0, 1.0) if scale == (1.0, 1.0) else (3 / 4, 4 / 3)
    jitter = dict(brightness=b, contrast=c, saturation=s, hue=h, p=0.8)
    recipe = {"global_scale": scale, "ratio": ratio, "jitter": jitter, "grayscale": gray, "blur.p": blur}
    return {f"recipe.{key}": value for key, value in recipe.items()}


def _verdict_arms(objective: str) -> dict:
    """The fixed recipe, one policy, and the policy's controls."""
    without_feedback = {"feedback": None, "value": None, "designer_optimizer": None}
    policy = f"{objective}_policy"
    return dict(
        fixed=_fixed(objective, "fixed recipe"),
        vpretraining=_designed(policy, "V-Pretraining, one policy"),
        frozen={**_arm(policy, "the learned policy from the start", without_feedback), "designer_of": "vpretraining"},
        negated=_designed(policy, "negated feedback", **{"feedback.control": "negated"}),
        random=_designed(policy, "random feedback", **{"feedback.control": "random"}),
    )
