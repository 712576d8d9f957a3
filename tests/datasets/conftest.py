"""One small set of rendered scenes, shared by the tests of this folder."""

from pathlib import Path

import pytest

from vssl.datasets.scenes import write_scenes

COUNTS = dict(imagenet_train=18, imagenet_val=9, ade_train=6, ade_val=4, nyu_train=6, nyu_val=4)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32-px scenes in the three layouts; read only."""
    out = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(out, size=32, counts=COUNTS, workers=1)
    return out
