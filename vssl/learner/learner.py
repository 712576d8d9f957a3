"""The learner θ: student backbone, objective with its head, and the EMA teacher if the objective has one."""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.views.crops import Views

if TYPE_CHECKING:
    from vssl.objectives.base import Objective, State


class Learner(nn.Module):
    """What is pretrained. Calling it is the ordinary SSL forward pass.

    Args:
        backbone: the student.
        objective: an SSL objective built for this backbone.
    """

    def __init__(self, backbone: TimmBackbone, objective: "Objective"):
        super().__init__()
        self.student, self.objective = backbone, objective
        self.teacher = EMATeacher(backbone, objective.teacher_modules()) if objective.uses_teacher else None

    def forward(
        self, views: Views, draws: Draws, image_weights: Float[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, ""], "State"]:
        """(loss, the state it was computed from)."""
        state = self.objective.begin(self.student, self.teacher, views, draws)
        if image_weights is not None:
            state = self.objective.weigh_images(state, image_weights)
        return self.objective.finish(self.student, state), state

    def update_teacher(self, state: "State", progress: float) -> None:
        """After a learner step: the objective's running statistics, then θ̄, then what follows θ̄."""
        self.objective.update(state)
        if self.teacher is not None:
            momentum = self.objective.teacher_momentum(progress)
            self.teacher.update(self.student, self.objective.teacher_modules(), momentum)
            self.objective.follow(self.teacher)
