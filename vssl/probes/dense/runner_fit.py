"""Fitting a head by mmengine's Runner, augmenting every image anew, with a checkpoint from which a killed fit goes on.

Which images a step takes, and how each is augmented, depend on (seed, step) alone: not on the number of workers, and
not on how often the fit was interrupted.
"""

import random
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from vssl.probes.fit import Schedule, finite
from vssl.whole_files import whole

VERSION = 1
# Only the hook that steps the schedules: the others log, save mmengine's checkpoints, or ask the sampler for more.
_HOOKS = dict.fromkeys(["runtime_info", "timer", "sampler_seed", "logger", "checkpoint"])


def fit_runner(
    model: nn.Module,
    dataset: Dataset,
    schedule: Schedule,
    seed: int,
    num_workers: int = 0,
    checkpoint: Path | None = None,
    interval: int = 500,
    resume: bool = False,
) -> None:
    """Train the `decode_head` of an mmseg segmentor: the plain mmseg way. The backbone is frozen by itself.

    Args:
        checkpoint: written every `interval` steps; None writes nothing.
        interval: steps between checkpoints.
        resume: go on from `checkpoint` if it is there, to the same result as a fit that was never interrupted.

    Raises:
        ValueError: `checkpoint` cannot be read or is of another head.
        FloatingPointError: the loss is not finite.
    """
    content = load_checkpoint(checkpoint) if resume and checkpoint is not None and checkpoint.is_file() else None
    start = content["step"] if content else 0
    loader = DataLoader(
        SeededDraws(dataset, seed),
        batch_sampler=ScheduledBatches(schedule, len(dataset), seed, start),
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        collate_fn=pseudo_collate,
    )
    with tempfile.TemporaryDirectory() as logs:
        runner = _HeadRunner(
            model=model,
            work_dir=logs,
            experiment_name=f"probe_{uuid.uuid4().hex}",  # mmengine keeps global instances by this name
            train_dataloader=loader,
            train_cfg=dict(type=_HeadLoop, max_iters=schedule.steps),
            optim_wrapper=schedule.optim_wrapper(),
            param_scheduler=schedule.param_schedulers(),
            default_hooks=_HOOKS,
            custom_hooks=[_WatchHead(checkpoint, interval)],
            randomness=dict(seed=seed),
            default_scope="mmseg",
            log_level="WARNING",
        )
        runner.saved = content
        runner.train()
    model.eval()


class ScheduledBatches(Sampler):
    """Batches of (image, draw) from step `start` on; `draw` numbers every image that a fit ever looks at."""

    def __init__(self, schedule: Schedule, images: int, seed: int, start: int = 0):
        self.schedule, self.images, self.seed, self.start = schedule, images, seed, start

    def __len__(self) -> int:
        return self.schedule.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        every = torch.arange(self.images)
        for step, rows in enumerate(self.schedule.rows(self.images, self.seed)):
            if step >= self.start:
                chosen = every[rows].tolist()
                yield [(image, step * len(chosen) + i) for i, image in enumerate(chosen)]


class SeededDraws(Dataset):
    """A dataset whose augmentations depend on (seed, draw). mmseg's transforms draw from NumPy's global generator."""

    def __init__(self, dataset: BaseDataset, seed: int):
        self.dataset, self.seed = dataset, seed

    @property
    def metainfo(self) -> dict:
        return self.dataset.metainfo

    def __getitem__(self, key: tuple[int, int]) -> dict:
        image, draw = key
        state = np.random.SeedSequence([self.seed, draw]).generate_state(2)
        np.random.seed(state[0])
        random.seed(int(state[1]))
        return self.dataset[image]


class _HeadLoop(IterBasedTrainLoop):
    """mmengine's own decodes every batch up to the step it resumes from; here the sampler starts there."""

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        while self._iter < self._max_iters:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class _HeadRunner(Runner):
    """Resumes from `saved`. mmengine's own checkpoints hold its message hub, which `weights_only` refuses to load."""

    saved: dict | None = None

    def load_or_resume(self) -> None:
        if self.saved is None:
            return
        try:
            self.model.decode_head.load_state_dict(self.saved["head"])
            self.optim_wrapper.load_state_dict(self.saved["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"the probe's checkpoint does not fit its head: {error}; start without --resume"
            ) from error
        for scheduler, state in zip(self.param_schedulers, self.saved["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        torch.set_rng_state(self.saved["random"])
        if self.saved["cuda_random"] is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.saved["cuda_random"])
        self.train_loop._iter = self.saved["step"]


class _WatchHead(Hook):
    """Every `interval` steps: is the loss finite? Then a checkpoint, if a path is given, and a line about it.

    The file holds everything that the next step depends on, as tensors and plain values, less the frozen backbone. It
    appears under its name only when it is whole.
    """

    priority = "VERY_LOW"  # after the schedules have stepped

    def __init__(self, path: Path | None, interval: int):
        self.path, self.interval = path, interval

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: dict) -> None:
        step = batch_idx + 1
        last = step == runner.max_iters
        if step % self.interval and not last:
            return
        loss = finite(outputs["loss"], f"after {step} steps; lower its learning rate")
        if self.path is not None and not last:
            self.save(runner, step)
            print(f"step {step}/{runner.max_iters}  loss {loss:.4g}  {self.path}", flush=True)

    def save(self, runner: Runner, step: int) -> None:
        content = {
            "version": VERSION,
            "step": step,
            "head": runner.model.decode_head.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedulers": [_plain_state(scheduler) for scheduler in runner.param_schedulers],
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        }
        with whole(self.path) as partial:
            torch.save(content, partial)


def _plain_state(scheduler) -> dict:
    return {key: value for key, value in scheduler.state_dict().items() if isinstance(value, int | float | str | list)}


def load_checkpoint(path: Path) -> dict:
    """A checkpoint of `fit_runner`, tensors and plain values only: a file from elsewhere cannot run code.

    Raises:
        ValueError: a damaged file, or one of something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many classes for a damaged archive
        raise ValueError(f"checkpoint {path} cannot be read ({error}); delete it, or start without --resume") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"checkpoint {path} is not one of this version's probes; delete it")
    return content
