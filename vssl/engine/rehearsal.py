"""``tools/train.py CONFIG --check``: build a run, take a step of each kind, and say what the whole will need."""

import copy
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from vssl.counts import counted
from vssl.engine.collapse import PANEL, signs_of_collapse
from vssl.engine.config import check_training_config
from vssl.engine.hooks import peak_memory_mb
from vssl.engine.interruption import stopping_at_once
from vssl.engine.record_images import panel_images
from vssl.engine.run_directory import check_free
from vssl.engine.sharding import check_sharding, check_trunk, shardable_mb
from vssl.engine.step_cost import FIRST_META, midmean, schedule_cost, stepped, steps_within

TIMED = 3  # steps of each kind, after one that is not counted; of the first meta step, which comes once, one


@dataclass(frozen=True)
class Rehearsal:
    """What a run will need on this machine as it is now.

    kinds: by kind of step, how many the run has and what one takes, in seconds.
    steps: of the run; with a budget in seconds, as many as fit.
    seconds: of all steps; probes, RankMe and snapshots are not in it.
    saving: seconds of one checkpoint. saves: how many there will be.
    memory_mb: the most that this process has held so far (a GPU's memory on a GPU).
    sharded_mb: of it, what ``sharding="fsdp2"`` spreads over ranks; None for a run without.
    disk_mb: of what stays in the run directory: checkpoints and the exported backbone.
    free_mb: on the disk of the run directory.
    """

    kinds: dict[str, tuple[int, float]]
    steps: int
    seconds: float
    saving: float
    saves: int
    memory_mb: float
    sharded_mb: float | None
    disk_mb: float
    free_mb: float

    def lines(self) -> list[str]:
        """For the console."""
        share = 100 * self.saves * self.saving / (self.seconds + self.saves * self.saving)
        time_of_all = _clock(self.seconds + self.saves * self.saving)
        saved = "1 checkpoint, which is" if self.saves == 1 else f"{self.saves} checkpoints, which are"
        told = [f"{name}: {counted(count, 'step')} of {seconds:.3g} s" for name, (count, seconds) in self.kinds.items()]
        memory = f"memory: {self.memory_mb / 1024:.2f} GiB so far"
        if self.sharded_mb is not None:
            memory += f", in one process; sharding='fsdp2' spreads {self.sharded_mb / 1024:.2f} GiB of it over ranks"
        return [
            *told,
            f"time: {time_of_all} for {counted(self.steps, 'step')} and {saved} {share:.1f} % of it; "
            "probes, RankMe and snapshots come on top",
            memory,
            f"disk: {self.disk_mb:.0f} MiB, {self.free_mb / 1024:.1f} GiB are free",
        ]


def rehearse(config: Config, work_dir: Path, seed: int) -> Rehearsal:
    """Everything that a run does before and in its first steps, in a folder that is removed afterwards.

    Args:
        work_dir: where the run will be; only looked at.

    Raises:
        What `train` raises before its first step, and in it. OSError: too little room on the disk for the run.
        Stopped: by a signal; the folder is removed.
    """
    check_training_config(config)
    check_free(work_dir, resume=False, overwrite=False)
    if sharding := config.get("sharding", "none") != "none":
        check_sharding(config)
        config = copy.deepcopy(config)
        config.sharding = "none"  # it takes several processes
    place = next(path for path in (work_dir, *work_dir.absolute().parents) if path.exists())
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{place} cannot be written to; give another --work-dir")
    with (
        stopping_at_once(),
        tempfile.TemporaryDirectory(prefix=".vssl-check-", dir=place) as folder,
        stepped(config, Path(folder), seed) as run,
    ):
        costs = {}
        for kind in run.known:
            once = kind == FIRST_META
            if not once:
                run.take(kind)
            costs[kind] = midmean([run.take(kind) for _ in range(1 if once else TIMED)])
        if config.get("collapse") != "off":  # it reads whole images, which no step does
            signs_of_collapse(run.runner.train_loop, panel_images(run.runner.train_loop, PANEL)[0])
        begun = time.perf_counter()
        run.runner.save()
        saving = time.perf_counter() - begun
        run.runner.export()
        sizes = {path.name: path.stat().st_size / 2**20 for path in Path(folder).iterdir()}
        loop, sharded_mb = run.runner.train_loop, None
        device = loop.device
        if sharding:
            check_trunk(loop.learner.student)
            sharded_mb = shardable_mb(loop.learner_step)
    steps = config.budget.get("steps") or steps_within(run.kinds(), costs, config.budget["seconds"])
    counts = run.count(steps)
    saves = steps // config.get("checkpoint_interval", 500) + 1
    kept = min(config.get("checkpoint_keep", 2), saves) + 1  # and the one that is being written
    found = Rehearsal(
        kinds={kind: (counts[kind], costs[kind]) for kind in run.known if counts[kind]},
        steps=steps,
        seconds=schedule_cost(run.kinds(), costs, steps),
        saving=saving,
        saves=saves,
        memory_mb=peak_memory_mb(device),
        sharded_mb=sharded_mb,
        disk_mb=kept * sizes["checkpoint.pth"] + sizes["backbone.safetensors"],
        free_mb=shutil.disk_usage(place).free / 2**20,
    )
    if found.disk_mb > found.free_mb:
        raise OSError(
            f"{place}: {found.free_mb:.0f} MiB are free, the run needs {found.disk_mb:.0f} MiB; make room, or give "
            "another --work-dir"
        )
    return found


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
