"""What `vssl new` writes for a machine with a GPU, and for one without."""

from collections.abc import Iterable
from dataclasses import dataclass
from string import Template


@dataclass(frozen=True)
class Sizes:
    """Sides in pixels; `stream` is the short side of the images that crops are taken from."""

    crop: int
    local_crop: int
    stream: int
    probe: int
    batch: int
    steps: int


# On a GPU the crops are the recipe's. Without one they are smaller in the same proportion, and so is the stream.
SIZES = {"cuda": Sizes(224, 96, 256, 224, 32, 2000), "cpu": Sizes(96, 42, 112, 128, 16, 300)}

ON_GPU = Template("""${crops}batch_size = $batch  # of one GPU
budget = dict(steps=$steps)""")
ON_CPU = Template("""# What follows is for a machine without a GPU ($why): small images and batches, and a short run.
# In brackets: what a GPU gets, which `vssl new` writes with --device cuda --overwrite.
recipe.update(global_size=$crop, local_size=$local_crop)  # px ($gpu_crop, $gpu_local_crop)
unlabeled.update(size=$stream)  # px of the short side, from which crops are taken ($gpu_stream)
$labeled
# As large a share of the run as 1251 steps are of the recipe's 20 000 (1251)
objective.update(freeze_last_layer_steps=$frozen)
value.update(batch_size=$batch)  # (32)
batch_size = $batch  # ($gpu_batch)
num_workers = 0  # processes that decode images would take the processor from training (8)
precision = "fp32"  # ("bf16")
budget = dict(steps=$steps)  # ($gpu_steps)""")


def lines_of(device: str, patch: int, unlabeled: int, tasks: Iterable[str], why: str) -> str:
    """The lines of a training config that fit it to a machine, and its crops to whole patches.

    Args:
        device: one of `SIZES`.
        patch: the side of the model's patches in pixels.
        unlabeled: how many images there are; a batch has no more.
        tasks: those with labels.
        why: what chose the device.
    """
    ours, gpu = SIZES[device], SIZES["cuda"]
    crop, local_crop = whole(ours.crop, patch), whole(ours.local_crop, patch)
    batch = min(ours.batch, unlabeled)
    if device == "cuda":
        fits = (crop, local_crop) == (ours.crop, ours.local_crop)
        crops = f"recipe.update(global_size={crop}, local_size={local_crop})  # whole patches of {patch} px\n"
        return ON_GPU.substitute(crops="" if fits else crops, batch=batch, steps=ours.steps)
    labeled = [f"feedback.pools.{task}.dataset.transform.update(size={crop})  # px ({gpu.crop})" for task in tasks]
    return ON_CPU.substitute(
        why=why,
        crop=crop,
        local_crop=local_crop,
        stream=ours.stream,
        labeled="\n".join(labeled),
        frozen=round(ours.steps * 1251 / 20_000),
        batch=batch,
        steps=ours.steps,
        gpu_crop=whole(gpu.crop, patch),
        gpu_local_crop=whole(gpu.local_crop, patch),
        gpu_stream=gpu.stream,
        gpu_batch=gpu.batch,
        gpu_steps=gpu.steps,
    )


def whole(side: int, patch: int) -> int:
    """The multiple of the patch that is nearest to a side, one patch at least."""
    return max(1, round(side / patch)) * patch
