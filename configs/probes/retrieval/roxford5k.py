"""Revisited Oxford: mAP for the easy, medium and hard protocols.

Command:  python tools/probe.py configs/probes/retrieval/roxford5k.py --model vit_large_patch16_dinov3
          multi-scale: --cfg-options "probes.roxford5k.scales=[1.0,0.707,0.5]"
Data:     images and gnd_roxford5k.mat, data/README.md
Expected: paper, DINOv3 ViT-L, mAP E/M/H (baseline → V-Pretraining): .5268/.4072/.0867 → .6048/.4557/.0820;
          not yet run here. The paper states no size, pooling or scales: here they are DINO's (longer side 224, class
          token)
Departs:  queries are cropped to their boxes, which revisitop demands; DINO's script takes whole query images
Source:   arXiv 1803.11285; github.com/facebookresearch/dino, eval_image_retrieval.py
"""

from vssl.datasets.revisited import RevisitedRetrieval
from vssl.probes.image.retrieval import RetrievalProbe

probes = dict(
    roxford5k=dict(
        type=RetrievalProbe,
        dataset=dict(type=RevisitedRetrieval, root="data/roxford5k"),
        size=224,  # px, longer side
        scales=[1.0],
        pool="class",
        k=[1, 5, 10],
    )
)
