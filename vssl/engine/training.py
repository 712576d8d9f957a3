"""From a config to a finished run directory."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch.utils.data import Dataset

from vssl import compat, distributed
from vssl.datasets.files import DataWarning
from vssl.datasets.stream import Stream, images_of
from vssl.designers import Designer
from vssl.draws import Draws
from vssl.engine import checkpoint, run_directory
from vssl.engine.batches import check_batches
from vssl.engine.budget import Budget
from vssl.engine.compiling import compile_learner, compile_options
from vssl.engine.config import ConfigError, build, check_training_config, load_config
from vssl.engine.designer_building import build_dataset, build_designer_update, build_feedback
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.horizon_update import HorizonUpdate
from vssl.engine.learner_building import build_learner_step
from vssl.engine.learner_step import LearnerStep
from vssl.engine.runner import PretrainRunner
from vssl.engine.sharding import check_sharding, shard
from vssl.feedback import Feedback
from vssl.learner.learner import Learner
from vssl.progress import say

NEW_HEAD = (
    "note: the backbone is trained, its SSL head is new. While the head learns it can harm the backbone "
    "(docs/continuing.md): schedule.head_share=0.5 lets it learn alone first, continue_run=RUN takes that of "
    "an earlier run along"
)
RANDOM_WEIGHTS = (
    "backbone.lora trains additions to weights that stay as they are, and these are random; give "
    "backbone.checkpoint=FILE or backbone.pretrained=True"
)


def train(
    config: Config,
    work_dir: str | Path,
    seed: int | None = None,
    resume: bool = False,
    launcher: str = "none",
    overwrite: bool = False,
    hooks: Sequence[Hook] = (),
) -> Path:
    """Run one pretraining and return its directory (``config.py``, ``metrics.jsonl``, ``run.json``,
    ``checkpoint.pth``, ``backbone.safetensors``, ``views.npz``).

    Everything that can be wrong with config and data is checked before the first step.

    Args:
        config: a training config, see `load_config`.
        seed: overrides the config's seed.
        resume: continue from the last whole checkpoint of `work_dir` with the same settings (the budget may be
            raised); without a checkpoint there the run starts anew.
        overwrite: replace the run that `work_dir` holds.
        hooks: more hooks of mmengine's, beside the config's ``custom_hooks``; they leave no trace in ``config.py``.

    Raises:
        ConfigError, ValueError, FileNotFoundError: the message names the file or key, and the fix.
        FileExistsError: `work_dir` holds a run already and it is to be neither continued nor replaced, or another
            process is writing there.
        NonFiniteError: a loss or gradient was not finite; the last checkpoint is intact.
        Interrupted: Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 came; a checkpoint of the last finished step is written.
    """
    check_training_config(config)
    work_dir = Path(work_dir)
    seed = config.get("seed", 0) if seed is None else seed
    run_directory.check_free(work_dir, resume, overwrite)
    if resume:
        run_directory.check_same_run(config, work_dir)
        resume = bool(checkpoint.candidates(work_dir))
        overwrite = not resume  # the same run, stopped before its first checkpoint
    if config.get("threads"):
        torch.set_num_threads(config.threads)
    with distributed.process_group(launcher):
        with data_warnings() as said:
            runner = build_runner(config, work_dir, seed, resume=resume, launcher=launcher, overwrite=overwrite)
        for text in said:
            runner.warn(text, step=0)
        for hook in hooks:
            runner.register_hook(hook)
        with runner.claim:
            runner.train()
    return work_dir


def build_runner(
    config: Config,
    work_dir: Path,
    seed: int,
    resume: bool = False,
    launcher: str = "none",
    overwrite: bool = False,
) -> PretrainRunner:
    """Build every part of a run and try them on two images. The run directory is not touched before all are built."""
    compat.prepare_mmseg()
    check_sharding(config, distributed.rank_and_size()[1])
    dataset = build_dataset(config.unlabeled)  # data first: weights may have to be downloaded
    _tell_of_labels(config)
    device, compiling = _device(config), compile_options(config)
    rank, world_size = distributed.rank_and_size()
    placement = dict(rank=rank, world_size=world_size, num_workers=config.get("num_workers", 0), device=device)
    torch.manual_seed(seed)  # the same initial weights on every rank
    learner_step, designer = _build_learner_and_designer(config, seed, device)
    learner, optimizer, budget = learner_step.learner, learner_step.optimizer, Budget(**config.budget)
    _tell_of_start(config, learner)
    check_batches(config, learner.objective, dataset, world_size)
    stream = Stream(dataset, config.batch_size, seed, **placement)
    designer_update, meta_stream, measuring = _build_feedback_side(
        config, learner_step, budget, designer, dataset, seed, placement
    )
    feedback = measuring if designer_update is None else designer_update.feedback
    _try_out(learner, designer, feedback, dataset, device)
    if compiling is not None:
        compile_learner(learner, compiling, device)
    parts = dict(
        learner=learner,
        designer=designer,
        optimizer=optimizer,
        designer_update=designer_update,
        anchor=learner_step.anchor,
    )
    saved = _restored(work_dir, seed, parts) if resume else None
    if config.get("sharding", "none") != "none":
        learner_step = shard(learner_step, device)
    return PretrainRunner(
        learner=learner,
        optimizer=optimizer,
        loop=dict(
            stream=stream,
            meta_stream=meta_stream,
            designer=designer,
            designer_update=designer_update,
            budget=budget,
            learner_step=learner_step,
            seed=seed,
            compiled=compiling is not None,
        ),
        config=config,
        work_dir=work_dir,
        about={
            "arm": config.get("arm", Path(config.filename or "run").stem),
            "seed": seed,
            "objective": type(learner.objective).__name__,
            "designer": type(designer).__name__,
            "budget": dict(config.budget),
            "world_size": world_size,
        },
        device=device,
        launcher=launcher,
        saved=saved,
        overwrite=overwrite,
        measuring=measuring,
    )


def _build_feedback_side(
    config: Config,
    learner_step: LearnerStep,
    budget: Budget,
    designer: Designer,
    dataset: Dataset,
    seed: int,
    placement: dict[str, Any],
) -> tuple[DesignerUpdate | HorizonUpdate | None, Stream | None, Feedback | None]:
    """The meta step and its unlabeled stream, or feedback that only measures; None for what the config lacks."""
    if config.get("designer_optimizer") or (designer.learns_from_values and config.get("feedback")):
        update = build_designer_update(config, learner_step, budget, designer, seed, placement)
        size = config["value"].get("batch_size", config.batch_size)
        return update, Stream(dataset, size, seed + 7919, **placement), None
    if config.get("feedback"):
        return None, None, _measuring_feedback(config, learner_step.learner, seed, placement)
    return None, None, None


def _tell_of_labels(config: Config) -> None:
    for name, line in _check_labels(config).items():
        if distributed.rank_and_size()[0] == 0:
            _say_once(f"{name}: {line}")


def _tell_of_start(config: Config, learner: Learner) -> None:
    if distributed.rank_and_size()[0] == 0 and _head_is_new(config, learner):
        _say_once(NEW_HEAD)
    if config.backbone.get("lora") and not _is_trained(config):
        warnings.warn(RANDOM_WEIGHTS, DataWarning, stacklevel=3)


def _build_learner_and_designer(config: Config, seed: int, device: torch.device) -> tuple[LearnerStep, Designer]:
    """θ with its optimizer and schedules, and φ: fresh, or as other runs left them."""
    learner_step = build_learner_step(config, build(config.backbone), device)
    designer: Designer = build(config.designer, build(config.recipe)).to(device)
    designer.seed = seed
    designer.attach(learner_step.learner)
    if config.get("designer_checkpoint"):
        _load_designer(designer, Path(config.designer_checkpoint))
    learner_step.accumulation.check(learner_step.learner.objective, designer)
    return learner_step, designer


def _head_is_new(config: Config, learner: Learner) -> bool:
    """Whether a trained backbone begins to move together with a head that is not."""
    if next(learner.objective.parameters(), None) is None:
        return False
    begins_new = not config.get("continue_run") and not config.get("schedule", {}).get("head_share")
    return begins_new and _is_trained(config)


def _is_trained(config: Config) -> bool:
    """Whether the backbone begins with weights that somebody trained."""
    return bool(config.backbone.get("checkpoint") or config.backbone.get("pretrained") or config.get("continue_run"))


def _measuring_feedback(config: Config, learner: Learner, seed: int, placement: dict[str, Any]) -> Feedback:
    """Feedback that changes nothing: of a run without a designer whose steps the one-step probe looks at."""
    if not config.get("one_step_probe"):
        raise ConfigError(
            "config has feedback but neither designer_optimizer nor one_step_probe, so feedback could neither "
            "change nor measure anything"
        )
    with torch.random.fork_rng():  # fresh heads draw their weights; the run must not notice
        return build_feedback(config.feedback, learner.student.embed_dim, seed, {**placement, "num_workers": 0})


def _restored(work_dir: Path, seed: int, parts: dict[str, Any]) -> checkpoint.Found:
    """The last whole checkpoint, after its states were given to `parts`."""
    saved = checkpoint.load_latest(work_dir)
    for path in saved.damaged:
        text = f"{path} is damaged; the run goes on from {saved.path.name}, step {saved.content['step']}"
        warnings.warn(text, DataWarning, stacklevel=2)
    checkpoint.restore_parts(saved.content, saved.path, seed, **parts)
    return saved


def load_designer(run: str | Path) -> Designer:
    """The designer of a run directory as its last checkpoint has it, on the CPU; neither data nor backbone are needed.

    Raises:
        ConfigError, ValueError, FileNotFoundError: no run there, or its files cannot be read.
    """
    run = Path(run)
    config = load_config(run / "config.py")
    designer: Designer = build(config.designer, build(config.recipe))
    _load_designer(designer, run / "checkpoint.pth")
    return designer


def check_data(config: Config) -> None:
    """Find the unlabeled images and read every label that feedback will use.

    Raises:
        ConfigError, ValueError, FileNotFoundError: the message names the file, or the pool and the key.
    """
    build_dataset(config.unlabeled)
    _check_labels(config)


@cache
def _say_once(line: str) -> None:
    """A comparison builds many runs on the same labels in one process."""
    say(line)


def _check_labels(config: Config) -> dict[str, str]:
    """Reads every label; a line for the log about each task's."""
    if not config.get("feedback"):
        return {}
    alone = dict(rank=0, world_size=1, num_workers=0, device="cpu")
    return build_feedback(config.feedback, 1, 0, alone).check_pools()


@contextmanager
def data_warnings() -> Iterator[list[str]]:
    """Collects what is said about data in the block, each text once; other warnings are shown as usual."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        try:
            yield said
        finally:
            said += dict.fromkeys(str(w.message) for w in caught if w.category is DataWarning)
    for other in caught:
        if other.category is not DataWarning:
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)


def _try_out(
    learner: Learner, designer: Designer, feedback: Feedback | None, dataset: Dataset, device: torch.device
) -> None:
    """Two images through everything, so that wrong sizes and unreadable data show before the run begins."""
    images = images_of(dataset, (0, len(dataset) - 1), device)
    with torch.random.fork_rng(), torch.no_grad():
        try:
            designer.check(learner.objective)
        except ValueError as error:
            raise ConfigError(f"designer: {error}") from error
        for construction in designer.trials(images, _trial_draws(device)):
            learner.objective.adopt(**construction.for_objective)
            learner(construction.views, _trial_draws(device))
        learner.objective.adopt()
        if feedback is not None:
            feedback.try_out(learner.student)


def _trial_draws(device: torch.device) -> Draws:
    return Draws(0, "trial", device=device)


def _load_designer(designer: Designer, path: Path) -> None:
    """φ of another run, from its checkpoint."""
    content = checkpoint.load(path)
    try:
        designer.load_state_dict(content["designer"])
    except RuntimeError as error:
        raise ConfigError(f"designer_checkpoint {path} holds another designer: {error}") from error


def _device(config: Config) -> torch.device:
    asked = config.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    if torch.device(asked).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={asked!r}: torch finds no GPU here; give device=cpu")
    if asked == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device(asked)
