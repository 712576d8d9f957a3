"""SPair-71k: semantic correspondence of keypoints by nearest features, without training.

Command:  python tools/probe.py configs/probes/spair/spair71k.py --model vit_base_patch14_dinov2.lvd142m
Data:     data/SPair-71k as it unpacks: JPEGImages, PairAnnotation, Layout; 12 234 test pairs of 18 categories
Memory:   not measured
Expected: not yet measured
Source:   arXiv 1908.10543 (data); github.com/Tsingularity/dift, eval_spair.py: images squashed to 768 × 768 px, maps
          enlarged bilinearly to the images' own sizes, best pixel by cosine similarity, PCK@0.1 of the target's box
Ours:     784 px, a multiple of 14 and of 16; DIFT takes a diffusion model's map, here it is the last layer's
"""

from vssl.datasets.keypoint_pairs import KeypointPairs
from vssl.probes.dense.correspondence import CorrespondenceProbe

probes = dict(
    spair71k=dict(
        type=CorrespondenceProbe,
        dataset=dict(type=KeypointPairs, root="data/SPair-71k", split="test"),
        size=(784, 784),  # px
        alphas=[0.1, 0.05, 0.01],
        layers="last",
        final_norm=True,
    )
)
