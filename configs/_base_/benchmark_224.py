"""What the comparisons at 224 px share: start, probes, seeds. Their arms are those of the 32-px study.

python tools/prepare_data.py scenes --size 224 --seed 1 --counts imagenet_train=16000 --out data/scenes224
"""

configs = "configs/scenes224"
start = dict(config="simclr_start.py", label="start (SimCLR)")
probes = "configs/probes/scenes224.py"
seeds = [0, 1, 2]
continues = "backbone"  # as the 32-px study
