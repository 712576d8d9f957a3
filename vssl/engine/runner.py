"""mmengine's Runner, with a checkpoint that resumes exactly and a start that also works on CPUs.

Why mmengine's: its configs, launchers, visualizers (TensorBoard and others by one key) and hooks are what users of
OpenMMLab know, and `custom_hooks` and `visualizer` of a config work as its documentation says. Why so much of it is
replaced: its checkpoints do not hold what an exact resume needs, its default hooks count in epochs, its loop
deep-copies what it is given (the designer would then value a copy of the start), and its DDP wrapper wants a GPU.
What is replaced is in this file and nowhere else. A runner of our own would save these lines and lose the rest.
"""

import importlib.util
import uuid
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from vssl import __version__, distributed
from vssl.engine import checkpoint
from vssl.engine.bad_files import BadFilesHook
from vssl.engine.collapse import CollapseHook
from vssl.engine.hooks import CheckpointHook, MetricsHook, ProgressHook, SampleViewsHook
from vssl.engine.loop import PretrainLoop
from vssl.engine.one_step import one_step_hooks
from vssl.engine.online_probes import online_probe_hooks
from vssl.engine.provenance import provenance
from vssl.engine.run_directory import check_free, claimed, clear
from vssl.engine.snapshots import SnapshotHook
from vssl.feedback import Feedback
from vssl.learner.backbone import TimmBackbone
from vssl.learner.learner import Learner
from vssl.learner.sharded_trunks import whole_copy
from vssl.progress import say
from vssl.whole_files import EXPORTED, write_json, write_text

# mmengine's own hooks assume epochs, message-hub logging and its checkpoint format; ours take their place.
_NO_DEFAULT_HOOKS = dict.fromkeys(["runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint"])


class PretrainRunner(Runner):
    """Runs a `PretrainLoop`.

    Args:
        learner: what is trained.
        optimizer: over the learner, its groups carrying `peak_lr`.
        loop: keyword arguments of `PretrainLoop` (its ``dataloader`` as ``stream``).
        config: the whole training config; written to ``config.py``.
        work_dir: the run directory.
        about: what ``run.json`` says of the run from its start.
        saved: the checkpoint to continue from, or None.
        overwrite: replace the run that `work_dir` holds.
        measuring: feedback of the one-step probe alone, in a run whose designer is not trained.
    """

    def __init__(
        self,
        learner: Learner,
        optimizer: torch.optim.Optimizer,
        loop: dict[str, Any],
        config: Config,
        work_dir: Path,
        about: dict[str, Any],
        device: torch.device,
        launcher: str = "none",
        saved: checkpoint.Found | None = None,
        overwrite: bool = False,
        measuring: Feedback | None = None,
    ):
        self.device_of_run, self.about = device, about
        self.warnings: list[dict[str, Any]] = list(saved.content.get("warnings", ())) if saved else []
        self.checkpoint_path, self.saved = Path(work_dir) / "checkpoint.pth", saved
        self._saved_step: int | None = None
        self.claim = ExitStack()  # held while the run is trained
        if distributed.rank_and_size()[0] == 0:
            self.claim.enter_context(claimed(Path(work_dir)))
            check_free(Path(work_dir), resume=saved is not None, overwrite=overwrite)  # again: it is ours alone now
            if overwrite and saved is None:
                clear(Path(work_dir))
        loop = dict(loop)
        every = config.get("log_interval", 10)
        self._progress = ProgressHook(every)
        shown = learner.student.reads == "images"  # text has no pictures
        self._snapshots = SnapshotHook(config.get("snapshots", 10) if shown else 0, config.get("snapshot_images", 8))
        super().__init__(
            model=learner,
            work_dir=str(work_dir),
            train_dataloader=loop.pop("stream"),
            train_cfg=dict(type=PretrainLoop, device=device, **loop),
            optim_wrapper=OptimWrapper(optimizer),
            default_hooks=_NO_DEFAULT_HOOKS,
            custom_hooks=[
                *([CollapseHook(collapse)] if (collapse := config.get("collapse", "warn")) != "off" else []),
                BadFilesHook(),
                MetricsHook(every, config.get("rankme_interval", 0)),
                self._progress,
                SampleViewsHook(config.get("sample_views", 8) if shown else 0),
                self._snapshots,
                *one_step_hooks(config.get("one_step_probe"), measuring),
                *online_probe_hooks(config.get("probes")),
                CheckpointHook(config.get("checkpoint_interval", 500)),
                *config.get("custom_hooks", []),
            ],
            launcher=launcher,
            env_cfg=dict(dist_cfg=dict(backend="nccl"), mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0)),
            visualizer=config.get("visualizer") or _default_visualizer(),
            randomness=dict(seed=about["seed"]),
            log_level="WARNING",
            # mmengine keys its global loggers by this name: two runs of one second must not share them
            experiment_name=f"{Path(work_dir).name}-{uuid.uuid4().hex[:8]}",
            cfg=config,
        )

    @property
    def learner(self) -> Learner:
        return self.model.module if hasattr(self.model, "module") else self.model

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """DDP when there are several ranks. On a CPU `device_ids` must be None (mmengine gives one).

        Of sharded weights FSDP averages the gradients, inside DDP. The model is on its device already: moving it again
        would give shards new memory, and the optimizer would step what they were.
        """
        if distributed.rank_and_size()[1] == 1:
            return model
        sharded = [name for name, p in model.named_parameters() if isinstance(p, DTensor)]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, sharded)
        return DistributedDataParallel(
            model,
            device_ids=[self.device_of_run.index] if self.device_of_run.type == "cuda" else None,
            broadcast_buffers=False,  # every rank computes the same buffers
            find_unused_parameters=self.cfg.get("find_unused_parameters", False),
        )

    def build_train_loop(self, loop: dict) -> PretrainLoop:
        """mmengine's own deep-copies the loop's settings: the meta step would value a copy of the start checkpoint."""
        return PretrainLoop(self, self._train_dataloader, **{key: part for key, part in loop.items() if key != "type"})

    def train(self) -> Learner:
        """Run the loop. mmengine's own `train` asks the model for a `train_step`; here the loop holds the algorithm."""
        loop = self.train_loop
        if self.saved is not None:
            self.restore(self.saved.content)
            if distributed.rank_and_size()[0] == 0:
                checkpoint.settle(self.saved)
            self.saved = None  # a second copy of all weights
        if distributed.rank_and_size()[0] == 0:
            write_text(Path(self.work_dir) / "config.py", self.cfg.pretty_text)
        self.call_hook("before_run")
        try:
            loop.run()
        finally:
            self._progress.close(finished=False)  # of a run that stopped; one that ended closed it itself
        self.call_hook("after_run")
        return self.learner

    def dump_config(self) -> None:
        """mmengine writes it while it is built; `train` does, once the run is sure to begin."""

    def _log_env(self, env_cfg: dict) -> None:
        """mmengine prints a page about the machine here; run.json says what matters."""

    def save(self) -> None:
        """Write ``checkpoint.pth``: everything that the next step and the next line of the log depend on.

        Collective: every rank calls it.
        """
        loop: PretrainLoop = self.train_loop
        random_states: list[dict | None] = [checkpoint.random_state()]
        if dist.is_initialized():
            random_states = [None] * dist.get_world_size()
            dist.all_gather_object(random_states, checkpoint.random_state())
        of_learner = loop.learner_step.state_dict()
        if distributed.rank_and_size()[0] != 0:
            return
        content = {
            "step": loop.step,
            "seed": self.about["seed"],
            "budget": loop.budget.state_dict(),
            **of_learner,
            "stream": loop.stream.state_dict(),
            "designer": loop.designer.state_dict(),
            "meta_stream": None if loop.meta_stream is None else loop.meta_stream.state_dict(),
            "designer_update": None if loop.designer_update is None else loop.designer_update.state_dict(),
            "random_states": random_states,
            "not_logged_yet": loop.unlogged(),
            "gradient_record": self._snapshots.state_dict(),
            "warnings": self.warnings,
        }
        keep, again = self.cfg.get("checkpoint_keep", 2), self._saved_step == loop.step
        checkpoint.save(self.checkpoint_path, content, keep, replace=again)
        self._saved_step = loop.step

    def restore(self, content: dict[str, Any]) -> None:
        """Continue from where `content` was saved; the parts have their states already (`checkpoint.restore_parts`)."""
        loop: PretrainLoop = self.train_loop
        loop.step = content["step"]
        loop.budget.load_state_dict(content["budget"])
        loop.stream.load_state_dict(content["stream"])
        if loop.meta_stream is not None:
            loop.meta_stream.load_state_dict(content["meta_stream"])
        loop.log_later(content.get("not_logged_yet", {}))
        self._snapshots.load_state_dict(content.get("gradient_record"))
        checkpoint.restore_random_state(content["random_states"][distributed.rank_and_size()[0]])

    def warn(self, text: str, step: int, **about: Any) -> None:
        """Say what is wrong with a run that goes on: now, in ``metrics.jsonl`` and in ``run.json``."""
        if text not in [warning["text"] for warning in self.warnings]:  # a run that goes on may say the same again
            self.warnings.append({"step": step, "text": text, **about})
        if distributed.rank_and_size()[0] == 0:
            say(f"{self.about['arm']}, seed {self.about['seed']}: warning: {text}")

    def write_summary(self, finished: bool) -> None:
        """``run.json``: which run this is and how far it came."""
        loop: PretrainLoop = self.train_loop
        summary = {
            **self.about,
            "steps": loop.step,
            "seconds": round(loop.budget.elapsed, 3),
            "finished": finished,
            "warnings": self.warnings,
            "vssl_version": __version__,
            **self._provenance,
        }
        write_json(Path(self.work_dir) / "run.json", summary)

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return provenance(self.cfg)

    def export(self) -> None:
        """``backbone.safetensors``: the weights that probes and users load. Collective: every rank calls it."""
        backbone = self.exported()
        if backbone is None:
            return
        card = {**self.about, "steps": self.train_loop.step, "weights": self._exported_weights}
        backbone.export(Path(self.work_dir) / EXPORTED, card)

    def exported(self) -> TimmBackbone | None:
        """The backbone that probes and users are given, on rank 0; None elsewhere. Collective."""
        own = self.learner.student if self._exported_weights == "student" else self.learner.teacher.backbone
        if self.train_loop.learner_step.shards is not None:
            return whole_copy(own)
        return own if distributed.rank_and_size()[0] == 0 else None

    @property
    def _exported_weights(self) -> str:
        return self.cfg.get("export") or ("student" if self.learner.teacher is None else "teacher")


def _default_visualizer() -> dict[str, Any]:
    """TensorBoard event files through mmengine, when tensorboard is installed (the extra ``tracking``)."""
    installed = importlib.util.find_spec("tensorboard") is not None
    return dict(type="Visualizer", vis_backends=[dict(type="TensorboardVisBackend")] if installed else [])
