"""Every kind of probe on the rendered scenes: what scenes.py solves, and heads that are trained, grids, retrieval.

    python tools/prepare_data.py scenes
    python tools/prepare_data.py scenes_retrieval
    python tools/probe.py configs/probes/scenes_all.py --backbone runs/NAME/backbone.safetensors --seeds 0 1 2

Expected: docs/probes.md, "Every probe on the scenes". How far seeds are apart is in the cards.
"""

from mmengine.config import read_base
from mmseg.datasets.transforms import RandomFlip
from torch.optim import SGD, AdamW

with read_base():
    from .scenes import *

from vssl.datasets.revisited import RevisitedRetrieval
from vssl.probes.dense.grid import DenseGrid
from vssl.probes.dense.heads import BinDepthHead
from vssl.probes.dense.losses import SigLoss
from vssl.probes.image.embedding import EmbeddingProbe
from vssl.probes.image.linear_grid import LinearGridProbe
from vssl.probes.image.retrieval import RetrievalProbe

# --- science ----------------------------------------------------------------------------------------------------------
# SGD in the wide sense: random batches, a learning rate, an end
trained = dict(
    optimizer=dict(type=AdamW, lr=0.05, weight_decay=1e-3), steps=500, warmup_steps=25, batch_size=60, clip_norm=1.0
)
look = dict(size=(size, size), layers="last", final_norm=True)
linear = dict(init_std=0.01, label_stride=3)  # batch norm → 1×1
decoder = dict(**linear, hidden=(64,))  # batch norm → 3×3, batch norm, ReLU → 1×1
bins = dict(**linear, type=BinDepthHead, bins=256)
grid = dict(type=DenseGrid, learning_rates=[0.02, 0.06], layers=["last", "last4"])

# --- data: that of scenes.py ------------------------------------------------------------------------------------------
seg = dict(
    type=SegmentationProbe,
    **look,
    train=probes["segmentation"]["train"],
    val=probes["segmentation"]["val"],
    schedule=trained,
)
metres_of = dict(
    type=DepthProbe,
    **look,
    train=probes["depth"]["train"],
    val=probes["depth"]["val"],
    schedule=trained,
    max_depth=20.0,
)
squares = [dict(type=ValidDepthLoss, power=2)]
flipped = {**seg["train"], "pipeline": [load, labels, resize, dict(type=RandomFlip, prob=0.5), pack]}

probes.update(
    segmentation_sgd=dict(**seg, head=linear),
    segmentation_decoder=dict(**seg, head=decoder),
    # mmengine's Runner: the backbone and fresh flips in every step
    segmentation_runner=dict(
        **{**seg, "train": flipped, "schedule": {**trained, "steps": 200}}, head=linear, path="runner"
    ),
    segmentation_grid=dict(**grid, probe=dict(**seg, head=linear)),
    depth_sgd=dict(**metres_of, losses=squares, head=dict(**linear, init_depth=3.0)),
    depth_decoder=dict(**metres_of, losses=squares, head=dict(**decoder, init_depth=3.0)),
    depth_bins=dict(**metres_of, losses=[dict(type=SigLoss)], head=bins),
    depth_grid=dict(**grid, probe=dict(**metres_of, losses=squares, head=dict(**linear, init_depth=3.0))),
    linear_grid=dict(
        type=LinearGridProbe,
        train=f"{data_root}/imagenet/train",
        val=f"{data_root}/imagenet/val",
        data_root=data_root,
        size=size,
        limit=2000,
        learning_rates=[0.03, 0.1, 0.3, 1.0],
        last_layers=[1, 4],
        pools=["class", "class+avg", "avg"],
        schedule=dict(optimizer=dict(type=SGD, lr=0.1, momentum=0.9), steps=500, batch_size=256),
        crop_scale=(0.5, 1.0),
        cached_epochs=2,
    ),
    embedding=dict(type=EmbeddingProbe, root=f"{data_root}/imagenet/val", size=size, limit=600),
    retrieval=dict(
        type=RetrievalProbe,
        dataset=dict(type=RevisitedRetrieval, root="data/scenes_retrieval"),
        size=size,
        pool="avg",
        k=[1, 5],
    ),
)
