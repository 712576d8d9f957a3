"""`kills`: real runs are killed at random moments, resumed, and compared with an unbroken run, bit for bit.

Every run is a process of its own, forked after the imports, so that a kill costs seconds. It is killed once or twice,
then resumed until it ends. Nothing may differ from the unbroken run: weights, optimizer, designer, feedback, streams,
random generators, the exported backbone, and every logged number that is not a time.
"""

import argparse
import json
import os
import random
import signal
import socket
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.config_files import config_file
from vssl.engine import load_config, train
from vssl.engine.interruption import Interrupted
from vssl.options import add_cfg_options
from vssl.progress import say
from vssl.whole_files import PARTIAL

_DESIGNED = ("mae", "dino", "dinov2", "dinov3", "ibot", "ijepa", "neco", "paka")
CONFIGS = (
    *(f"scenes/{name}_vpretraining" for name in _DESIGNED),
    *("scenes/simclr_policy", "scenes/simclr_search", "scenes/mae_weights", "scenes/mae_horizon"),
)
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
MOMENTS = ("first second", "any", "while a file is written")
PATIENCE = 600.0  # seconds after which a process that does not end counts as hung; the machine may be busy
# Logged values that are no result: times, and what follows from them.
_TIMES = ("seconds", "time/", "images_per_second", "peak_memory_mb", "cost_seconds")


@dataclass
class KilledRun:
    """What became of one killed run. `differences`: what was not as in the unbroken run; [] when nothing was lost."""

    kills: int = 0
    resumed_at: list[int] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def add_command(commands) -> None:
    parser = add_parser(commands, "kills", "killed and resumed runs against unbroken ones, bit for bit", None)
    parser.add_argument("configs", nargs="*", default=list(CONFIGS), help="training configs; their data must be there")
    parser.add_argument("--kills", type=int, default=500, help="over all settings")
    parser.add_argument("--steps", type=int, default=12, help="of a run")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    add_cfg_options(parser, "batch_size=8")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Raises RuntimeError at the end if anything was lost."""
    prepare(arguments)
    rng = random.Random(arguments.seed)
    # workers beside ranks is a matter of memory, not of another path through the code
    settings = [(w, r) for r in arguments.ranks for w in arguments.workers if r == 1 or w == min(arguments.workers)]
    combinations = [(config, w, r) for config in arguments.configs for w, r in settings]
    share, more = divmod(arguments.kills, len(combinations))
    rows, lost = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, (config, workers, ranks) in enumerate(combinations):
            wanted = share + (number < more)
            if not wanted:
                continue
            place = Path(folder) / f"{number}"
            options = _options(arguments, workers)
            row, found = kill_and_compare(config_file(config), options, ranks, wanted, place, rng)
            rows.append({"config": Path(config).stem, "workers": workers, "ranks": ranks, **row})
            new = [f"{Path(config).stem}, {workers} workers, {ranks} ranks: {line}" for line in found]
            lost += new
            for line in [", ".join(f"{key} {value}" for key, value in rows[-1].items()), *new]:
                say(line)
    columns = dict.fromkeys(("config", "workers", "ranks", "kills", *SIGNALS, *MOMENTS, "resumed", "lost"), "")
    publish(arguments, f"{arguments.steps} steps a run", rows, columns)
    if lost:
        raise RuntimeError("\n  ".join([f"{len(lost)} killed run(s) are not what an unbroken one is:", *lost]))


def _options(arguments: argparse.Namespace, workers: int) -> dict[str, Any]:
    """Short runs that take every path: meta steps from the first steps on, a checkpoint every third."""
    short = {
        "budget": dict(steps=arguments.steps), "checkpoint_interval": 3, "log_interval": 2, "rankme_interval": 4,
        "snapshots": 3, "threads": 1, "num_workers": workers, "device": "cpu",
    }  # fmt: skip
    return {**short, **arguments.cfg_options}


def kill_and_compare(
    config: Path, options: dict[str, Any], ranks: int, kills: int, place: Path, rng: random.Random
) -> tuple[dict[str, Any], list[str]]:
    """One setting: the unbroken run, then killed ones until there were `kills` kills.

    Returns:
        Numbers for the table, and a line for each killed run that differs from the unbroken one.

    Raises:
        ValueError: the unbroken run fails.
        RuntimeError: two unbroken runs differ.
    """
    place.mkdir(parents=True)
    begun = time.monotonic()
    for name in ("unbroken", "again"):
        codes = _wait(_start(config, options, ranks, place / name, resume=False))
        if any(code != 0 for code in codes):
            log = (place / f"{name}.log").read_text()
            raise ValueError(f"{config}: the unbroken run ended with exit codes {codes}:\n{log[-2000:]}")
    length = (time.monotonic() - begun) / 2
    if found := differences(place / "unbroken", place / "again"):
        raise RuntimeError(f"{config}: two unbroken runs differ, so nothing can be compared: {found[0]}")
    counts: Counter[str] = Counter()
    lost, made, resumed, number = [], 0, 0, 0
    while made < kills:
        number += 1
        work_dir, outcome = place / f"killed{number}", KilledRun()
        for _ in range(min(rng.choice((1, 1, 2)), kills - made)):
            name, moment = rng.choice(list(SIGNALS)), rng.choice(MOMENTS)
            if _kill(config, options, ranks, work_dir, name, moment, length, rng, outcome):
                counts.update([name, moment])
        made += outcome.kills
        resumed += len(outcome.resumed_at)
        codes = _wait(_start(config, options, ranks, work_dir, resume=True))
        if any(code != 0 for code in codes):
            log = work_dir.with_suffix(".log").read_text()
            outcome.differences.append(f"resumed with exit codes {codes}: {log[-500:]}")
        else:
            outcome.differences += differences(place / "unbroken", work_dir)
        if outcome.differences:
            lost.append(f"run {number}: {outcome.differences[0]}")
    return {"kills": made, **{k: counts[k] for k in (*SIGNALS, *MOMENTS)}, "resumed": resumed, "lost": len(lost)}, lost


def _kill(
    config: Path, options: dict, ranks: int, work_dir: Path, name: str, moment: str, length: float,
    rng: random.Random, outcome: KilledRun,
) -> bool:  # fmt: skip
    """Start or resume the run and kill it; False when it ended before."""
    processes = _start(config, options, ranks, work_dir, resume=work_dir.exists())
    if moment == "while a file is written":
        delay, begun = rng.uniform(0.0, length), time.monotonic()
        while not _ended(processes) and (waited := time.monotonic() - begun) < PATIENCE:
            if waited > delay and any(work_dir.glob(f"*{PARTIAL}")):
                break
            time.sleep(2e-4)
    else:
        time.sleep(rng.uniform(0.0, 1.0 if moment == "first second" else length))
    if _ended(processes):
        codes = _wait(processes)
        if any(code != 0 for code in codes):
            outcome.differences.append(f"ended by itself with exit codes {codes}")
        return False
    # A job that is cancelled signals every rank; a machine that dies takes one, and the other must not go on alone.
    victims = [rng.choice(processes)] if name == "SIGKILL" else processes
    for process in victims:
        os.kill(process, SIGNALS[name])
    codes = _wait(processes)
    outcome.kills += 1
    if None in codes:
        outcome.differences.append(f"hung for {PATIENCE:.0f} s after {name}")
    if (work_dir / "checkpoint.pth").is_file():
        outcome.resumed_at.append(int(torch.load(work_dir / "checkpoint.pth", weights_only=True)["step"]))
    elif outcome.resumed_at:
        outcome.differences.append(f"the checkpoint of step {outcome.resumed_at[-1]} is gone")
    if outcome.resumed_at != sorted(outcome.resumed_at):
        outcome.differences.append(f"checkpoints of steps {outcome.resumed_at}, one after the other")
    return True


def _start(config: Path, options: dict, ranks: int, work_dir: Path, resume: bool) -> list[int]:
    """Process numbers of a training, one a rank; what they print is in WORK_DIR.log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(ranks):
        process = os.fork()
        if process == 0:
            _train(config, options, ranks, rank, port, work_dir, resume)
        processes.append(process)
    return processes


def _train(config: Path, options: dict, ranks: int, rank: int, port: int, work_dir: Path, resume: bool) -> None:
    """The forked process: like tools/train.py, and never returns."""
    code = 1
    try:
        os.setsid()
        log = os.open(work_dir.with_suffix(".log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        distributed = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in distributed.items()}, MASTER_ADDR="127.0.0.1")
        launcher = "pytorch" if ranks > 1 else "none"
        train(load_config(config, options), work_dir, resume=resume, launcher=launcher)
        code = 0
    except Interrupted as stopped:
        code = stopped.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(processes: Sequence[int]) -> bool:
    """Whether any of them has ended; it stays to be waited for."""
    return any(os.waitid(os.P_PID, p, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None for p in processes)


def _wait(processes: Sequence[int]) -> list[int | None]:
    """Exit codes; None for one that had to be killed after `PATIENCE`. What they leave behind is killed too."""
    codes, ends = [], time.monotonic() + PATIENCE
    for process in processes:
        while (ended := os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG)) is None and time.monotonic() < ends:
            time.sleep(5e-3)
        if ended is None:
            os.kill(process, signal.SIGKILL)
            os.waitid(os.P_PID, process, os.WEXITED)
        codes.append(None if ended is None else ended.si_status)
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    return codes


def differences(reference: Path, other: Path) -> list[str]:
    """What of a finished run is not as in the reference, apart from times. Reads what ``tools/train.py`` writes."""
    found = []
    ours, theirs = (torch.load(run / "checkpoint.pth", weights_only=True) for run in (reference, other))
    for content in (ours, theirs):
        content.pop("budget")  # elapsed seconds
        content.pop("warnings", None)
    found += [f"checkpoint.pth: {where}" for where in _unequal(ours, theirs, "")]
    if (reference / "backbone.safetensors").read_bytes() != (other / "backbone.safetensors").read_bytes():
        found.append("backbone.safetensors")
    for name in ("metrics.jsonl", "policy.jsonl", "one_step.jsonl", "online_probes.jsonl"):
        files = [run / name for run in (reference, other)]
        if files[0].is_file():
            ours, theirs = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
            found += [f"{name}: {where}" for where in _unequal(ours, theirs, "")]
    return found


def _unequal(a: Any, b: Any, where: str) -> Iterator[str]:
    """Where two nested structures differ; tensors must be equal bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = [k for k in dict.fromkeys([*a, *b]) if not (isinstance(k, str) and k.startswith(_TIMES))]
        for key in keys:
            if key in a and key in b:
                yield from _unequal(a[key], b[key], f"{where}/{key}")
            else:
                yield f"{where}/{key} is in one alone"
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            yield f"{where}: {len(a)} and {len(b)} entries"
        for i, pair in enumerate(zip(a, b, strict=False)):
            yield from _unequal(*pair, f"{where}/{i}")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or a.numpy().tobytes() != b.numpy().tobytes():
            yield f"{where}: other numbers"
    elif not (a == b or (a != a and b != b)):
        yield f"{where}: {a!r} and {b!r}"
