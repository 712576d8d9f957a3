"""What the comparisons of the embedded benchmark share: start, data, probes, constructions of the fixed arms.

Scenes of seed 0 (data/scenes) are for choosing settings; reported scores come from scenes of seed 1 (data/benchmark),
rendered with other random numbers throughout:

    python tools/prepare_data.py scenes --seed 1 --out data/benchmark
"""

_root = "data/benchmark"
_stream = {"unlabeled.root": f"{_root}/imagenet/train", "threads": 1, "checkpoint_interval": 1_000_000}
_labels = {
    "feedback.pools.segmentation.dataset.root": f"{_root}/ade20k",
    "feedback.pools.depth.dataset.root": f"{_root}/nyuv2",
}
start = dict(config="configs/scenes/mae_start.py", cfg_options=_stream, label="start (MAE)")
probes = "configs/probes/benchmark.py"
seeds = [0, 1, 2, 3, 4]
correction = "holm"


def _fixed(scale=(0.2, 1.0), b=0.4, c=0.4, s=0.4, h=0.1, gray=0.2, blur=0.5) -> dict:
    """Options that turn the default recipe into another one."""
    jitter = dict(brightness=b, contrast=c, saturation=s, hue=h, p=0.8)
    ratio = (1.0, 1.0) if scale == (1.0, 1.0) else (3 / 4, 4 / 3)
    recipe = {"global_scale": scale, "ratio": ratio, "jitter": jitter, "grayscale": gray, "blur.p": blur}
    return {**_stream, **{f"recipe.{key}": value for key, value in recipe.items()}}
