"""Embedding quality without labels: RankMe, effective dimension, feature norms, PCA maps of patch tokens.

Command:  python tools/probe.py configs/probes/embedding.py --backbone runs/NAME/backbone.safetensors \
              --cfg-options probes.embedding.root=FOLDER probes.embedding.size=64
          writes probes/embedding.json, .npz and .pca.png beside the backbone
Data:     any folder tree of images
Expected: not yet measured
"""

from vssl.probes.image.embedding import EmbeddingProbe

probes = dict(
    embedding=dict(
        type=EmbeddingProbe,
        root="data/imagenet/val",
        size=224,  # px
        limit=2048,
        pool="avg",
        pictures=8,
    )
)
