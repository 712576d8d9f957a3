"""The feedback task of docs/extending.md works as it stands there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import joint_transform
from vssl.feedback import Feedback, FeedbackTask, Pool

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", ["heads", "ridge"])
def test_the_example_of_a_feedback_task_gives_g_down(evaluator, backbone, tmp_path):
    names = {}
    exec(PAGE.read_text().split("## Add a feedback task")[1].split("```python\n")[1].split("```")[0], names)
    rng = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "counts.csv").write_text("".join(f"{index}.png,{index % 4}\n" for index in range(12)))
    dataset = names["CountImages"](tmp_path, joint_transform(16, scale=None))
    pool = Pool(dataset, 8, 4, batch_size=4, meta_batch_size=4, seed=0)
    assert pool.label_files() == [tmp_path / "counts.csv"]
    feedback = Feedback({"counts": names["Counting"](32)}, {"counts": pool}, evaluator=evaluator, head_steps=2)
    feedback.check_pools()
    feedback.fit_heads(backbone)
    gradient = feedback.gradients(backbone, 0)[0]["counts"]
    assert all(g.isfinite().all() for g in gradient) and any(g.any() for g in gradient)
    (tmp_path / "counts.csv").write_text("0.png,-1\n" * 12)
    broken = Pool(names["CountImages"](tmp_path), 8, 4, batch_size=4, meta_batch_size=4, seed=0)
    with pytest.raises(ValueError, match=r"counts.csv: count -1, expected"):
        Feedback({"counts": names["Counting"](32)}, {"counts": broken}).check_pools()


def test_a_task_without_targets_is_refused_by_ridge():
    class WithoutTargets(FeedbackTask):
        loss = score = check = None

    with pytest.raises(ValueError, match="has no targets; use evaluator='heads'"):
        Feedback({"odd": WithoutTargets()}, {}, evaluator="ridge")
