"""What the comparisons at 224 px share: start, probes, seeds, and how an arm of the 32-px study becomes one of theirs.

python tools/prepare_data.py scenes --size 224 --seed 1 --counts imagenet_train=16000 --out data/scenes224
"""

start = dict(config="configs/scenes224/simclr_start.py", label="start (SimCLR)")
probes = "configs/probes/scenes224.py"
seeds = [0, 1, 2]
continues = "backbone"  # as the 32-px study

# options that place the 32-px study on its own data and machine, and learning rates that were chosen for it
_of_32_px = ("unlabeled.root", "feedback.pools.", "threads", "checkpoint_interval", "optimizer.lr")


def _at_224(arms: dict) -> dict:
    """The same arms with the configs of configs/scenes224."""
    moved = {}
    for name, arm in arms.items():
        options = {k: v for k, v in arm.get("cfg_options", {}).items() if not k.startswith(_of_32_px)}
        config = arm["config"].replace("configs/scenes/", "configs/scenes224/")
        moved[name] = {**arm, "config": config, "cfg_options": options}
    return moved
