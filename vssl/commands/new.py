"""Write configs for your own data, after looking at it: a designer, the recipe alone, probes, and their comparison."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from vssl.commands import called, run_command
from vssl.commands.new_sizes import SIZES, lines_of, whole

# Task → its folder below --data, and the dataset that reads it.
LAYOUTS = {"segmentation": ("ade20k", "SegmentationImages", "training"), "depth": ("nyuv2", "DepthImages", "train")}
MOST = 400  # labeled images that feedback takes; a quarter of them give g_down

DESIGNED = Template('''"""$title

Images that were found: $found

Command:  $train $path.py --work-dir runs/$name
"""

from mmengine.config import read_base

with read_base():
    from vssl.configs.dino.vitb_ade20k import *

from vssl.designers import GlobalPolicy

# The backbone to continue: a timm name with pretrained=True, or checkpoint="FILE" in place of pretrained.
backbone.update(name="$backbone", pretrained=True)

# DINO's head is new, and would harm the backbone: for half of the budget it learns alone (docs/continuing.md).
schedule.update(head_share=0.5)

unlabeled.update(root="$images")

# Labeled images: `train` fit the heads, `meta` give the feedback. Together at most as many as there are.
$feedback
# What the designer learns: an augmentation policy that starts as DINO's recipe.
designer = dict(type=GlobalPolicy, gates="straight_through", learn=("area", "saturation", "hue", "grayscale"))
designer_optimizer.update(lr=0.01)

$sizes
''')

FIXED = Template('''"""The recipe of $name.py without a designer: the baseline.

Command:  $train ${path}_fixed.py --work-dir runs/${name}_fixed
"""

from mmengine.config import read_base

with read_base():
    from .$name import *

from vssl.designers import Identity

designer = dict(type=Identity)
feedback = value = designer_optimizer = None
''')

PROBES = Template('''"""Frozen probes on the validation images of $data.

Command:  $probe ${path}_probes.py --backbone runs/$name/backbone.safetensors

Every image is resized to a square of `size` pixels.
"""

$imports

size = $size  # px
load, resize, pack = dict(type=LoadImageFromFile), dict(type=Resize, scale=(size, size)), dict(type=PackSegInputs)
solve = dict(type=FullBatch, iterations=200, l2=1e-4)
dense = dict(size=(size, size), layers="last", final_norm=True, schedule=solve)

probes = dict(
$probes)
''')

COMPARISON = Template('''"""Does it help? The start, the recipe alone and the designer, at equal cost, over three seeds.

Command:  $compare ${path}_compare.py --list    (what will be run)
          $compare ${path}_compare.py
"""

configs = "$folder"  # paths are relative to the folder in which the command is called
start = dict(backbone_of="fixed")  # the backbone that ${name}_fixed.py names, as it is
arms = dict(
    fixed=dict(config="${name}_fixed.py"),
    vpretraining=dict(config="$name.py"),
)
budget = dict(baseline_steps=$steps)  # every arm trains as long as so many steps of the recipe alone take here
seeds = [0, 1, 2]
probes = "${path}_probes.py"
title = "Does it help on $data?"
work_dir = "runs/${name}_compare"
''')

FEEDBACK = {
    "segmentation": Template(
        "feedback.tasks.segmentation.update(num_classes=$classes)\n"
        "feedback.pools.segmentation.update(train=$train, meta=$meta, batch_size=$batch, meta_batch_size=$batch)\n"
        'feedback.pools.segmentation.dataset.update(root="$root")\n'
    ),
    "depth": Template(
        "feedback.tasks.depth.update(max_depth=$max_depth)  # metres; what is farther does not count\n"
        "feedback.pools.depth.update(train=$train, meta=$meta, batch_size=$batch, meta_batch_size=$batch)\n"
        'feedback.pools.depth.dataset.update(root="$root")\n'
    ),
}
WITHOUT = Template(
    'feedback.tasks.pop("$task")  # no labels for it were found\n'
    'feedback.pools.pop("$task")\n'
    'value.combine.weights.pop("$task")\n'
)
IMPORTS = {
    "segmentation": (
        "from mmseg.datasets.transforms import LoadAnnotations",
        "from vssl.probes.datasets import SceneSegmentation",
        "from vssl.probes.dense.segmentation import SegmentationProbe",
    ),
    "depth": (
        "from mmseg.datasets.transforms import LoadDepthAnnotation",
        "from vssl.probes.datasets import NYUDepth",
        "from vssl.probes.dense.depth import DepthProbe",
        "from vssl.probes.dense.losses import ValidDepthLoss",
    ),
    "both": (
        "from mmcv.transforms import LoadImageFromFile",
        "from mmseg.datasets.transforms import PackSegInputs, Resize",
        "from vssl.probes.fit import FullBatch",
    ),
}
PROBE = {
    "segmentation": Template("""    segmentation=dict(
        type=SegmentationProbe,
        **dense,
        head=dict(init_std=0.0),
        train=dict(
            type=SceneSegmentation,
            data_root="$root",
            data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
            pipeline=[load, dict(type=LoadAnnotations), resize, pack],
        ),
        # labels are loaded after the resize, so that the score is at the label files' resolution
        val=dict(
            type=SceneSegmentation,
            data_root="$root",
            data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
            pipeline=[load, resize, dict(type=LoadAnnotations), pack],
        ),
    ),
"""),
    "depth": Template("""    depth=dict(
        type=DepthProbe,
        **dense,
        losses=[dict(type=ValidDepthLoss, power=2)],
        max_depth=$max_depth,  # metres; what is farther does not count
        head=dict(init_std=0.0, init_depth=$median),
        train=dict(
            type=NYUDepth,
            data_root="$root",
            data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
            pipeline=[load, dict(type=LoadDepthAnnotation, depth_rescale_factor=$per_step), resize, pack],
        ),
        val=dict(
            type=NYUDepth,
            data_root="$root",
            data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"),
            pipeline=[load, resize, dict(type=LoadDepthAnnotation, depth_rescale_factor=$per_step), pack],
        ),
    ),
"""),
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="the file to write, e.g. mine.py; three more get its name")
    parser.add_argument("--data", type=Path, required=True, help="what `prepare_data.py folder --out` wrote")
    parser.add_argument("--images", type=Path, help="the unlabeled images (default: DATA/unlabeled)")
    parser.add_argument("--model", default="vit_small_patch16_dinov3", help="timm model name (default: %(default)s)")
    parser.add_argument(
        "--device", choices=tuple(SIZES), help="what the configs are sized for (default: cuda where torch finds a GPU)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace configs of this name")
    return parser


def execute(options: argparse.Namespace) -> None:
    """Looks at the data, writes four configs and checks those that train.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: before anything is written.
    """
    name, folder = options.config.stem, options.config.parent
    if options.config.suffix != ".py" or not name.isidentifier():
        raise ValueError(f"{options.config}: give a name such as mine.py, of letters, digits and _")
    files = [folder / f"{name}{part}.py" for part in ("", "_fixed", "_probes", "_compare")]
    if there := [str(file) for file in files if file.exists() and not options.overwrite]:
        raise FileExistsError(f"{', '.join(there)}: already there; give another name, or --overwrite")
    images = options.images or options.data / "unlabeled"
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: no such folder; give --images DIR, the unlabeled images")
    if not any((options.data / layout).is_dir() for layout, _, _ in LAYOUTS.values()):
        folders = " nor ".join(str(options.data / layout) for layout, _, _ in LAYOUTS.values())
        raise FileNotFoundError(f"no labeled images: neither {folders} is there (tools/prepare_data.py folder)")
    import torch

    from vssl.comparison import read_comparison
    from vssl.config_files import read_config
    from vssl.datasets.files import image_paths
    from vssl.engine import load_config
    from vssl.engine.config import check_training_config
    from vssl.learner.backbone import patch_size_of
    from vssl.whole_files import write_text

    patch = 16 if ":" in options.model else patch_size_of(options.model)  # of a hub's model only the hub knows
    unlabeled = sum(1 for _ in image_paths(images))
    if not unlabeled:
        raise FileNotFoundError(f"{images}: no images below it")
    found = {task: about for task in LAYOUTS if (about := _look(task, options.data))}
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    why = "--device cpu" if options.device else "torch found none"
    about = {
        "name": name,
        "path": (folder / name).as_posix(),
        "folder": folder.as_posix(),
        "steps": SIZES[device].steps,
        "sizes": lines_of(device, patch, unlabeled, found, why),
        "size": whole(SIZES[device].probe, patch),
        "train": called("train"),
        "probe": called("probe"),
        "compare": called("compare"),
        "title": f"DINO on my images, continued with feedback from {' and '.join(found)}.",
        "found": ", ".join([f"{unlabeled} unlabeled", *(f"{of['count']} for {task}" for task, of in found.items())]),
        "backbone": options.model,
        "images": images.as_posix(),
        "data": options.data.as_posix(),
        "feedback": "".join(
            FEEDBACK[task].substitute(found[task]) if task in found else WITHOUT.substitute(task=task)
            for task in LAYOUTS
        ),
        "imports": "\n".join(sorted({line for task in (*found, "both") for line in IMPORTS[task]})),
        "probes": "".join(PROBE[task].substitute(of) for task, of in found.items()),
    }
    for file, template in zip(files, (DESIGNED, FIXED, PROBES, COMPARISON), strict=True):
        write_text(file, template.substitute(about))
    for file in files[:2]:
        check_training_config(load_config(file))
    read_comparison(read_config(files[3]).to_dict(), str(files[3]))
    print(f"found: {about['found']}")
    if device == "cpu":
        print(f"sized for a machine without a GPU ({why}); --device cuda writes configs for one")
    print(f"wrote: {', '.join(map(str, files))}\n\nnext:")
    print(f"  {called('advise')} {files[0]}    # which augmentations help? A page, before any training")
    print(f"  {called('train')} {files[0]} --check    # is all in place, and what will it need?")
    print(f"  {called('compare')} {files[3]}    # start, recipe alone and designer, at equal cost, three seeds, probed")
    print("or one run alone:")
    print(f"  {called('train')} {files[0]} --work-dir runs/{name}")
    print(f"  {called('probe')} {files[2]} --backbone runs/{name}/backbone.safetensors")


def _look(task: str, data: Path) -> dict[str, Any] | None:
    """What is there of a task; None where its folder is not."""
    from vssl import datasets
    from vssl.datasets.conventions import class_names
    from vssl.datasets.label_checks import check_depth_labels

    layout, kind, split = LAYOUTS[task]
    root = data / layout
    if not root.is_dir():
        return None
    labeled = getattr(datasets, kind)(root, split)
    count = len(labeled)
    if count < 2:
        raise ValueError(f"{root}: {count} labeled image in {split}; feedback needs two or more, and useful hundreds")
    used = min(count, MOST)
    meta = max(1, used // 4)
    about = {"root": root.as_posix(), "count": count, "train": used - meta, "meta": meta}
    about["batch"] = min(16, meta)
    if task == "segmentation":
        classes = class_names(root)
        if not classes:
            raise ValueError(f'{root}: dataset.json lists no classes; add {{"classes": ["wall", …]}} to {data}')
        return {**about, "classes": len(classes)}
    depth = check_depth_labels([labeled.paths(i)[1] for i in range(count)], labeled.depth_scale)
    steps = labeled.depth_scale.value
    return {
        **about,
        "max_depth": math.ceil(depth.nearest_and_farthest()[1] / steps),
        "median": round(depth.percentile(0.5) / steps, 2),
        "per_step": f"1 / {steps:g}",
    }


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(parser(), execute, argv, {"--backbone": "--model"})
