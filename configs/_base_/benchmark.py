"""What the comparisons of the embedded benchmark share: start, data, probes, constructions of the fixed arms.

Settings and the best fixed recipe are chosen on scenes of seed 0 (validation); the verdict is read on scenes of seed 2
(test), rendered with other random numbers throughout:

    python tools/prepare_data.py scenes                                   # data/scenes
    python tools/prepare_data.py scenes --seed 2 --out data/benchmark

The verdict at twice the budget (configs/scenes/verdict_long.py) is read on scenes of seed 3, data/benchmark_long.
"""

_validation, _test = "data/scenes", "data/benchmark"
seeds = [0, 1, 2, 3, 4]
correction = "holm"
continues = "backbone"  # as these comparisons were published; SimCLR loses nothing by it (docs/continuing.md)


def _stream(root: str) -> dict:
    """Options of every training run on the scenes below `root`."""
    return {"unlabeled.root": f"{root}/imagenet/train", "threads": 1, "checkpoint_interval": 1_000_000}


def _labels(root: str) -> dict:
    """Options of the runs that have feedback."""
    return {
        "feedback.pools.segmentation.dataset.root": f"{root}/ade20k",
        "feedback.pools.depth.dataset.root": f"{root}/nyuv2",
    }


def _recipe(scale=(0.2, 1.0), b=0.4, c=0.4, s=0.4, h=0.1, gray=0.2, blur=0.5) -> dict:
    """Options that turn the default recipe into another one."""
    jitter = dict(brightness=b, contrast=c, saturation=s, hue=h, p=0.8)
    ratio = (1.0, 1.0) if scale == (1.0, 1.0) else (3 / 4, 4 / 3)
    recipe = {"global_scale": scale, "ratio": ratio, "jitter": jitter, "grayscale": gray, "blur.p": blur}
    return {f"recipe.{key}": value for key, value in recipe.items()}


def _start(root: str) -> dict:
    return dict(config="configs/scenes/simclr_start.py", cfg_options=_stream(root), label="start (SimCLR)")


def _verdict_arms(root: str) -> dict:
    """Arms of the verdict on the scenes below `root`.

    Learning rates and designers' settings: the best of each arm's trials (selection.py); controls have the policy's.
    """

    def fixed(label: str, **options) -> dict:
        return dict(config="configs/scenes/simclr_fixed.py", cfg_options={**_stream(root), **options}, label=label)

    def arm(name: str, label: str, **options) -> dict:
        options = {**_stream(root), **_labels(root), **options}
        return dict(config=f"configs/scenes/simclr_{name}.py", cfg_options=options, label=label)

    def controlled(control: str, label: str) -> dict:
        return arm("policy", label, **{"feedback.control": control})

    default = fixed("default recipe", **{"optimizer.lr": 5e-4})
    without_feedback = {"feedback": None, "value": None, "designer_optimizer": None}
    return dict(
        fixed=default,
        oracle=fixed("best fixed recipe", **_recipe(s=0.0, h=0.0, gray=0.0)),
        vpretraining=arm("policy", "V-Pretraining, one policy"),
        instance=arm("instance", "V-Pretraining, policy per image"),
        unet=arm("unet", "V-Pretraining, U-Net mask"),
        masked=arm("masked", "V-Pretraining, policy and mask"),
        search=arm("search", "candidate search"),
        fixed_same_steps={**default, "label": "default recipe, same steps", "steps_of": "vpretraining"},
        frozen=dict(
            config="configs/scenes/simclr_policy.py",
            cfg_options={**_stream(root), **without_feedback},
            designer_of="vpretraining",
            label="the learned policy from the start",
        ),
        negated=controlled("negated", "negated feedback"),
        random=controlled("random", "random feedback"),
        shuffled=controlled("shuffled_labels", "shuffled labels"),
    )
