"""ImageNet-1k for probes: what all protocols share. data/README.md has the layout."""

from vssl.probes.image.classification import KNNProbe

# --- science ----------------------------------------------------------------------------------------------------------
size, resize = 224, 256  # px: centre crop, and the short side before it
view = dict(size=size, resize=resize, interpolation="bicubic", final_norm=True)

# --- data -------------------------------------------------------------------------------------------------------------
data_root = "data/imagenet"
folders = dict(train=f"{data_root}/train", val=f"{data_root}/val", data_root=data_root)

# --- efficiency: no effect on scores ----------------------------------------------------------------------------------
reading = dict(keep=False, num_workers=8, batch_size=256)

knn = dict(
    type=KNNProbe, **folders, **view, **reading, pool="class", k=[20, 10, 100, 200], temperature=0.07
)  # the first k is the headline
