"""Prepares data. The embedded sets, rendered on this machine (one to two minutes on two cores, and half a minute):

python tools/prepare_data.py scenes --out data/scenes
python tools/prepare_data.py scenes_retrieval --out data/scenes_retrieval

Arithmetic word problems for language models, written on this machine (extra 'language'):

python tools/prepare_data.py word_problems --out data/word_problems

Published sets, from files that you have (data/README.md says where they come from), each checked and described in a
dataset.json:

python tools/prepare_data.py ade20k|nyuv2|imagenet|tiny_imagenet|camvid|seven_scenes|roxford5k|rparis6k|shards \\
    --source … --out …

Your own images with masks or depth (docs/your_data.md):

python tools/prepare_data.py folder --images … --masks … --classes … --depth … --depth-scale … --out …

One folder of unlabeled images as clusters, the sources of a mixture (docs/your_data.md; extra 'clusters'):

python tools/prepare_data.py clusters --images … --backbone … --clusters … --out …

Shares of several folders of unlabeled images, by their likeness to labeled ones (docs/your_data.md):

python tools/prepare_data.py shares --images NAME=… NAME=… --like … --backbone … --out shares.yaml
"""

import sys

from vssl.commands.data import main

if __name__ == "__main__":
    sys.exit(main())
