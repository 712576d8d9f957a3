"""The table of objectives in docs/objectives.md, made from the classes.

python -c "from vssl.objectives import OBJECTIVES, catalogue; print(catalogue.table(OBJECTIVES))"
"""

from collections.abc import Mapping

import torch

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives.base import Objective
from vssl.views.crops import Views

COLUMNS = ("objective", "global / local", "works on", "teacher", "images are coupled", "`finish` takes", "follows")


def table(objectives: Mapping[str, type[Objective]]) -> str:
    """The objectives as the rows of a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    for name, objective in sorted(objectives.items()):
        crops = f"{objective.n_global_crops} / {'n' if objective.takes_local_crops else 0}"
        crops = crops if objective.n_global_crops else "as its parts"
        entries = ", ".join(f"`{entry}`" for entry in state_entries(objective))
        cells = [f"`{name}`", crops, objective.works_on, "EMA" if objective.uses_teacher else "no"]
        lines.append("| " + " | ".join([*cells, objective.couples_images or "no", entries, objective.paper]) + " |")
    return "\n".join(lines)


def state_entries(objective: type[Objective]) -> list[str]:
    """The names that `begin` gives to what `finish` takes, with a local crop where the objective takes any."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    with torch.random.fork_rng(), torch.no_grad():
        backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **size)
        local = {"n_local_crops": 1} if objective.takes_local_crops else {}
        learner = Learner(backbone, objective(backbone, **objective.small(16), **local))
        n = learner.objective.n_global_crops
        crops, box = torch.rand(n, 2, 3, 32, 32), torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(n, 2, 4)
        views = Views(crops, torch.rand(1, 2, 3, 16, 16) if local else None, box, box[:1] if local else None)
        return list(learner.objective.begin(learner.student, learner.teacher, views, Draws(0, "objective")))
