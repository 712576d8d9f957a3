"""The training loop: one iteration reads like the algorithm of V-Pretraining."""

from collections import defaultdict
from contextlib import nullcontext
from typing import NoReturn

import torch
from mmengine.runner import BaseLoop
from torch import Tensor

from vssl.compat import add_note
from vssl.datasets import UnreadableImage
from vssl.datasets.stream import Stream
from vssl.designers.base import Construction, Designer
from vssl.distributed import rank_and_size
from vssl.draws import Draws
from vssl.engine.budget import Budget
from vssl.engine.clock import PhaseClock
from vssl.engine.compiling import warm_up
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.interruption import Interrupted, stop_requests
from vssl.engine.learner_step import LearnerStep, StepTaken
from vssl.learner.compiled import as_written, compiled_code
from vssl.learner.learner import Learner

DEALT_ANEW = 0.05
"""Share of the images of a mixture that would come from other sources: above it the stream is dealt anew."""


class NonFiniteError(FloatingPointError):
    """Loss or gradient became NaN or infinite; the message says where to look."""


class PretrainLoop(BaseLoop):
    """Algorithm 1. Labels enter through `designer_update` alone, which steps φ and nothing else.

    Args:
        runner: the mmengine runner; `runner.model` is the learner, DDP-wrapped with several ranks.
        dataloader: the unlabeled stream.
        meta_stream: the stream of unlabeled meta batches, or None without a designer to train.
        designer: constructs the views.
        designer_update: the meta step, or None (fixed recipe, untrained or frozen designer).
        budget: steps or seconds.
        learner_step: steps θ; its schedules, clipping and autocast are the run's.
        compiled: the learner's blocks were compiled; its own step uses that code, everything else runs as written.
    """

    def __init__(
        self,
        runner,
        dataloader: Stream,
        meta_stream: Stream | None,
        designer: Designer,
        designer_update: DesignerUpdate | None,
        budget: Budget,
        learner_step: LearnerStep,
        seed: int,
        device: torch.device,
        compiled: bool = False,
    ):
        super().__init__(runner, dataloader)
        self.stream, self.meta_stream, self.designer, self.designer_update = (
            dataloader,
            meta_stream,
            designer,
            designer_update,
        )
        self.budget, self.learner_step = budget, learner_step
        self.clip_grad, self.autocast = learner_step.clip_grad, learner_step.autocast
        self.seed, self.device, self.compiled = seed, device, compiled
        self.clock = PhaseClock(device, budget.now)
        self.step = 0
        self.recent: dict[str, list[Tensor]] = defaultdict(list)
        self.last_loss: Tensor | None = None  # of the last step, with the teacher's targets: collapse.py looks at both
        self.targets: Tensor | None = None

    # what mmengine's Runner asks of a loop
    epoch, max_epochs = 0, 1
    iter = property(lambda self: self.step)
    max_iters = property(lambda self: self.budget.steps or 0)

    @property
    def learner(self) -> Learner:
        return getattr(self.runner.model, "module", self.runner.model)

    def run(self) -> Learner:
        with as_written() if self.compiled else nullcontext():
            return self._run()

    def _run(self) -> Learner:
        self.runner.call_hook("before_train")
        self.learner.train()
        if self.compiled:
            warm_up(self)
        self.deal_stream()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with stop_requests() as stop:
            self.budget.start()
            while (progress := self.budget.progress(self.step)) < 1:
                self.runner.call_hook("before_train_iter", batch_idx=self.step)
                try:
                    self.run_iter(progress)
                except UnreadableImage as error:
                    add_note(error, f"The run stopped at step {self.step}; repair the file, then go on with --resume.")
                    raise
                self.step += 1
                self.runner.call_hook("after_train_iter", batch_idx=self.step - 1, outputs=None)
                if signal := stop.agreed():
                    self.budget.stop()
                    self.runner.save()
                    raise Interrupted(signal, self.step, self.runner.work_dir)
            self.budget.stop()
        self.runner.call_hook("after_train")
        return self.learner

    def run_iter(self, progress: float) -> None:
        self.learner_step.follow_schedules(self.step, progress)
        with self.clock("data"):
            (images,) = self.stream.next()  # 1. sample B_u
        if self.designer_update is not None and self.designer_update.due(self.step):
            self.update_designer()  # 2. every r steps: labels -> g_down -> φ
        with self.clock("augment"), torch.no_grad():
            construction = self.designer(images, self.draws("views"))  # 3. views of B_u with the updated φ ...
        with self.clock("learner"), compiled_code() if self.compiled else nullcontext():
            taken = self.step_learner(construction, progress)  # ... an ordinary SSL step on θ
        self.last_loss, self.targets = taken.loss, taken.targets
        self.record(loss=taken.loss, gradient_norm=taken.gradient_norm, **construction.statistics)

    def update_designer(self) -> None:
        try:
            logged = self.designer_update(  # type: ignore[misc]  # whoever calls this has one
                self.step, self.meta_stream, self.draws, self.clock, self.autocast
            )
        except FloatingPointError as error:
            self.stop_non_finite(str(error))
        self.record(**logged)
        self.deal_stream()

    def deal_stream(self) -> None:
        """Let the sources of the stream come as the designer has them, where that is worth a new loader.

        Until then, and for what is rounded, the designer's weights of images make up for the difference.
        """
        wanted, now = self.designer.stream_shares(), self.stream.shares
        if wanted is None or now is None:
            return
        if sum(abs(share - now[name]) for name, share in wanted.items()) / 2 > DEALT_ANEW:
            self.stream.deal(wanted)
            objective, together = self.learner.objective, self.stream.batch_size * self.stream.world_size
            if objective.needs_other_images and (often := self.stream.comes_twice(together)):
                self.runner.warn(
                    f"the stream now has so much of {often}, which is small, that a batch holds its images twice, and "
                    f"{type(objective).__name__} compares an image with itself",
                    self.step,
                )

    def step_learner(self, construction: Construction, progress: float) -> StepTaken:
        try:
            return self.learner_step(construction, self.draws("objective"), progress, self.runner.model)
        except FloatingPointError as error:
            self.stop_non_finite(str(error))

    def draws(self, stream: str) -> Draws:
        """The random numbers of this step for one purpose."""
        rank, world_size = rank_and_size()
        return Draws(self.seed, stream, self.step, rank, world_size, self.device)

    def record(self, **scalars: Tensor) -> None:
        """Keep scalars until the next log line; they stay on the device until then."""
        for name, value in scalars.items():
            self.recent[name].append(value)

    def unlogged(self) -> dict[str, list[Tensor]]:
        """What was recorded since the last log line, on the CPU: a run that goes on has the same next line."""
        return {name: [value.detach().cpu() for value in values] for name, values in self.recent.items()}

    def log_later(self, unlogged: dict[str, list[Tensor]]) -> None:
        """What `unlogged` gave when the run was saved."""
        for name, values in unlogged.items():
            self.recent[name] = [value.to(self.device) for value in values]

    def stop_non_finite(self, what: str) -> NoReturn:
        saved = self.runner.checkpoint_path
        where = f"the last good checkpoint is {saved}" if saved.is_file() else "no checkpoint was written yet"
        raise NonFiniteError(
            f"step {self.step}: {what}. The learner was not updated; {where}. Look at loss, gradient_norm, g_pre_norm "
            f"in {saved.parent / 'metrics.jsonl'}; usual cures: a lower learning rate, clip_grad, precision='fp32'"
        )
