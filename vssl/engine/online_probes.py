"""Frozen probes of a run on its way: scores over training time, at no cost to the run.

A probe sees a copy of the backbone and its own labels. Nothing comes back: weights, optimizers, the budget's clock and
every random generator are what they would be without it.
"""

import time
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook

from vssl.config_files import config_file, read_config
from vssl.distributed import alone, rank_and_size
from vssl.engine.config import ConfigError, resolve
from vssl.engine.record_files import append_line, forget_lines_after
from vssl.engine.snapshots import undisturbed
from vssl.known_keys import refuse_unknown

FILE = "online_probes.jsonl"
_KEYS = {"config", "probes", "only", "interval", "count", "cache"}


class OnlineProbesHook(Hook):
    """Rows of ``online_probes.jsonl``: step, seconds, probe, scores, score_info, card; scores go to the visualizer too.

    Probes run before the first step, every `interval` steps or at `count` even shares of the budget, and at the end, on
    rank 0 with the run's seed. The other ranks wait in their next collective operation, so that a probe must end within
    the process group's timeout (10 minutes with nccl).

    Args:
        entry: ``config`` (a file as for tools/probe.py) or ``probes`` ({name: dict(type=…)}), ``only`` (names), and
            ``interval`` or ``count``.
        data: decoded images, shared with the other entries.
    """

    priority = "LOW"

    def __init__(self, entry: dict[str, Any], data: Any):
        _check(entry)
        self.interval, self.count, self.only = entry.get("interval"), entry.get("count"), entry.get("only")
        if entry.get("config"):
            try:
                path = config_file(entry["config"], below="probes/")
            except FileNotFoundError as error:
                raise ConfigError(f"probes: {error}") from error
            self.config = _with_classes(read_config(path).to_dict())
        else:
            self.config = {"probes": _with_classes(entry["probes"])}
        self.cache, self.data = entry.get("cache"), data

    def before_run(self, runner) -> None:
        """Everything that can be wrong with the probes is wrong now."""
        from vssl.probes.run import build_probes

        if rank_and_size()[0] == 0:
            with undisturbed(runner.train_loop):
                for probe in build_probes(self.config, self.only).values():
                    probe.load(self.data)

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        self.file, self.last, self.next = Path(runner.work_dir) / FILE, loop.step, self._share(loop) + 1
        if rank_and_size()[0] == 0:
            forget_lines_after(self.file, loop.step)
        if loop.step == 0:
            self._probe(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loop = runner.train_loop
        if self._share(loop) >= self.next:
            self.next = self._share(loop) + 1
            self._probe(runner)

    def after_train(self, runner) -> None:
        if runner.train_loop.step > self.last:
            self._probe(runner)

    def _probe(self, runner) -> None:
        loop = runner.train_loop
        self.last = loop.step
        backbone = runner.exported()
        if backbone is None:
            return
        from vssl.probes.run import run_probes

        config = {**self.config, "device": str(loop.device)}
        start = time.perf_counter()
        with undisturbed(loop), alone():
            results = run_probes(backbone, config, seed=loop.seed, data=self.data, only=self.only, cache=self.cache)
        for result in results:
            row = {"step": loop.step, "seconds": loop.budget.elapsed, "probe": result["name"]}
            row |= {key: result[key] for key in ("scores", "score_info", "card")} | {"cost_seconds": result["seconds"]}
            append_line(self.file, row)
            scalars = {f"probe/{result['name']}/{score}": value for score, value in result["scores"].items()}
            runner.visualizer.add_scalars(scalars, step=loop.step)
        if loop.device.type == "cuda":  # the log's peak memory is training's, which comes again with the next step
            torch.cuda.reset_peak_memory_stats(loop.device)
        runner.logger.info("step %d: probes took %.1f s", loop.step, time.perf_counter() - start)

    def _share(self, loop) -> int:
        """How many probes are due by now, that of step 0 not counted."""
        if self.interval:
            return loop.step // self.interval
        if loop.budget.steps is not None:
            return loop.step * self.count // loop.budget.steps
        return int(loop.budget.elapsed / loop.budget.seconds * self.count)


def online_probe_hooks(entries: list[dict[str, Any]] | None) -> list[OnlineProbesHook]:
    """Hooks for a training config's ``probes``, in the order given; files are decoded once for all of them."""
    if not entries:
        return []
    if not isinstance(entries, list | tuple):
        raise ConfigError(f"probes={entries!r}; a list of dict(config=FILE, count=TIMES) is needed")
    from vssl.probes.decoded_images import ProbeData

    data = ProbeData()
    return [OnlineProbesHook(entry, data) for entry in entries]


def _check(entry: dict[str, Any]) -> None:
    where = f"probes: {dict(entry)!r}"
    refuse_unknown(entry, _KEYS, where, ConfigError)
    if bool(entry.get("config")) == bool(entry.get("probes")):
        raise ConfigError(f"{where}: give config=FILE or probes=dict(name=dict(type=ProbeClass, …)), one of them")
    cadence = [entry.get(key) for key in ("interval", "count") if entry.get(key) is not None]
    if len(cadence) != 1 or cadence[0] < 1:
        raise ConfigError(f"{where}: give interval=STEPS or count=TIMES over the budget, one of them and at least 1")


def _with_classes(node: Any) -> Any:
    """A saved config holds dotted names where this one held classes."""
    if isinstance(node, dict):
        return {
            key: resolve(node[key], key) if key == "type" and "." in str(node[key]) else _with_classes(node[key])
            for key in node
        }
    return [_with_classes(entry) for entry in node] if isinstance(node, list | tuple) else node
