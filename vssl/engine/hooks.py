"""What a run writes while it trains: metrics, progress, sample views, checkpoints. None of it counts in the budget."""

import resource
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook

from vssl.distributed import rank_and_size
from vssl.draws import Draws
from vssl.engine.collapse import pooled_features
from vssl.engine.record_files import append_line, forget_lines_after, pixels, save_arrays
from vssl.engine.record_images import panel_images
from vssl.learner.rankme import rankme
from vssl.progress import Task
from vssl.views.crops import Views


class MetricsHook(Hook):
    """One line of ``metrics.jsonl`` every `interval` steps: means over the interval; and the same to the visualizer.

    Args:
        interval: learner steps between lines.
        rankme_interval: learner steps between RankMe of the pooled patch features, 0 for never.
    """

    priority = "NORMAL"

    def __init__(self, interval: int, rankme_interval: int = 0):
        self.interval, self.rankme_interval = interval, rankme_interval

    def before_train(self, runner) -> None:
        self.file = Path(runner.work_dir) / "metrics.jsonl"
        self.panel = panel_images(runner.train_loop, 512)[0] if self.rankme_interval else None
        self.last_step, self.last_seconds = runner.train_loop.step, runner.train_loop.budget.elapsed
        self.said = len(runner.warnings) if self.last_step else 0  # a run that goes on has said its own already
        if rank_and_size()[0] == 0:
            runner.write_summary(finished=False)
            forget_lines_after(self.file, self.last_step)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loop = runner.train_loop
        if loop.step % self.interval == 0:
            with loop.budget.not_counted():
                self._write(runner)

    def after_train(self, runner) -> None:
        if runner.train_loop.step > self.last_step:
            self._write(runner)

    def _write(self, runner) -> None:
        loop = runner.train_loop
        steps, seconds = loop.step - self.last_step, loop.budget.elapsed - self.last_seconds
        images = steps * loop.stream.batch_size * loop.stream.world_size
        line = {
            "step": loop.step,
            "seconds": loop.budget.elapsed,
            "lr": max(group["lr"] for group in runner.optim_wrapper.optimizer.param_groups),
            **{name: torch.stack([v.float() for v in values]).mean().item() for name, values in loop.recent.items()},
            **{f"time/{phase}": spent / steps for phase, spent in loop.clock.take().items()},
            "images_per_second": images / max(seconds, 1e-9),
            "peak_memory_mb": peak_memory_mb(loop.device),
        }
        if loop.designer_update is not None and loop.designer_update.optimizer is not None:
            line["designer_lr"] = loop.designer_update.optimizer.param_groups[0]["lr"]
        if self.rankme_interval and loop.step % self.rankme_interval == 0:
            line["rankme"] = rankme(pooled_features(loop.learner.student, self.panel))
        loop.recent.clear()
        self.last_step, self.last_seconds = loop.step, loop.budget.elapsed
        if rank_and_size()[0] == 0:
            new, self.said = runner.warnings[self.said :], len(runner.warnings)
            append_line(self.file, line | ({"warnings": [warning["text"] for warning in new]} if new else {}))
            runner.visualizer.add_scalars({k: v for k, v in line.items() if k != "step"}, step=loop.step)


class ProgressHook(Hook):
    """A line of progress: steps, or seconds of the budget, and every `interval` steps the loss."""

    priority = "LOW"

    def __init__(self, interval: int):
        self.interval, self.note = interval, ""
        self.task: Task | None = None

    def before_train(self, runner) -> None:
        if rank_and_size()[0] != 0:
            return
        budget, about = runner.train_loop.budget, runner.about
        total, unit = (budget.steps, "steps") if budget.steps is not None else (budget.seconds, "s")
        self.task = Task(f"{about['arm']}, seed {about['seed']}", total, unit, self._done(runner.train_loop))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if self.task is None:
            return
        loop = runner.train_loop
        if loop.recent["loss"] and loop.step % self.interval == self.interval - 1:
            self.note = f"loss {loop.recent['loss'][-1].item():.3f}"
            if loop.budget.steps is None:
                self.note += f", step {loop.step}"
        self.task.update(self._done(loop), self.note)

    def after_train(self, runner) -> None:
        self.close()

    def close(self, finished: bool = True) -> None:
        """End the line; once."""
        if self.task is not None:
            self.task.close(finished)
            self.task = None

    @staticmethod
    def _done(loop) -> float:
        return loop.step if loop.budget.steps is not None else min(loop.budget.elapsed, loop.budget.seconds)


class SampleViewsHook(Hook):
    """``views.npz`` at the end: base and designed global crops of the first `count` images of the stream, and masks."""

    priority = "LOW"

    def __init__(self, count: int):
        self.count = count

    def after_train(self, runner) -> None:
        if self.count and rank_and_size()[0] == 0:
            arrays = sample_views(runner.train_loop, self.count)
            save_arrays(Path(runner.work_dir) / "views.npz", arrays)


class CheckpointHook(Hook):
    """``checkpoint.pth`` every `interval` steps and at the end, with the exported backbone."""

    priority = "VERY_LOW"  # after the hooks whose state it saves

    def __init__(self, interval: int):
        if interval < 1:
            raise ValueError(f"checkpoint_interval={interval} must be at least 1 step")
        self.interval = interval

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.train_loop.step % self.interval == 0:
            with runner.train_loop.budget.not_counted():
                runner.save()

    def after_train(self, runner) -> None:
        runner.save()
        runner.export()
        if rank_and_size()[0] == 0:
            runner.write_summary(finished=True)


@torch.no_grad()
def sample_views(loop, count: int) -> dict[str, np.ndarray]:
    """Fixed images with fixed draws, so that snapshots of different steps and arms can be laid side by side."""
    images, _ = panel_images(loop, count)

    def draws() -> Draws:
        return Draws(0, "sample views", device=loop.device)

    base: Views = loop.designer.recipe(images, draws())
    construction = loop.designer(images, draws())
    arrays = {
        "base": pixels(base.global_crops),
        "designed": pixels(construction.views.global_crops),
        "steps": np.asarray(loop.step),
    }
    if construction.mask is not None:
        arrays["mask"] = construction.mask[:, :, 0].cpu().numpy().astype(np.float16)
    return arrays


def peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
