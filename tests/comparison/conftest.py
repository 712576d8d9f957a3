"""A comparison of tiny configs, and workers that write what the engine and the probes would write, in no time."""

import json
from pathlib import Path

import pytest
from mmengine import Config

from vssl.commands.compare import parser
from vssl.comparison import Workers, read_comparison
from vssl.comparison.command import run_command

SECONDS_PER_STEP = {"fixed": 0.25, "vpretraining": 0.4}


class Fakes:
    """Counts what it is asked to do; `fail_at` makes one training stop halfway, as a crash or Ctrl-C would."""

    def __init__(self):
        self.trained: list[tuple[str, int, bool]] = []
        self.probed: list[tuple[str, int]] = []
        self.exported: list[dict] = []
        self.budgets: dict[tuple[str, int], dict] = {}
        self.configs: dict[tuple[str, int], dict] = {}
        self.starts: dict[tuple[str, int], str] = {}
        self.designers: dict[tuple[str, int], str] = {}
        self.fail_at: tuple[str, int] | None = None
        self.error: type[BaseException] = FloatingPointError
        self.fail_probe_at: tuple[str, int] | None = None
        self.compared: list[tuple[str, str, int, str, int | None]] = []
        self.slower = 1.0  # than `SECONDS_PER_STEP` says, of every arm beside the baseline

    def workers(self) -> Workers:
        return Workers(self.load_config, Config, self.train, self.probe, self.export, self.compare_cost)

    def load_config(self, path: Path, cfg_options: dict) -> Config:
        config = Config.fromfile(path)
        config.merge_from_dict(cfg_options)
        return config

    def train(self, config: Config, run_dir: Path, seed: int, resume: bool) -> None:
        arm = config.get("arm", "start")
        self.trained.append((arm, seed, resume))
        self.budgets[arm, seed] = config.budget.to_dict()
        self.configs[arm, seed] = config.to_dict()
        self.starts[arm, seed] = config.backbone.checkpoint
        if config.get("designer_checkpoint"):
            self.designers[arm, seed] = config.designer_checkpoint
        run_dir.mkdir(parents=True, exist_ok=True)
        per_step = SECONDS_PER_STEP.get(arm, 0.25)
        steps = config.budget.get("steps") or round(config.budget.seconds / per_step)
        record = {"arm": arm, "seed": seed, "steps": steps, "seconds": steps * per_step, "finished": False}
        if self.fail_at == (arm, seed):
            (run_dir / "checkpoint.pth").write_text("half")
            (run_dir / "run.json").write_text(json.dumps({**record, "steps": steps // 2}))
            raise self.error("stopped halfway")
        (run_dir / "backbone.safetensors").write_text(f"{arm} {seed}")
        (run_dir / "run.json").write_text(json.dumps({**record, "finished": True}))

    def export(self, config: Config, file: Path) -> None:
        self.exported.append(config.backbone.to_dict())
        file.write_text("as it is")

    def compare_cost(self, config: Config, baseline: Config, baseline_steps: int, clock: str, seed: int, steps) -> dict:
        self.compared.append((config.arm, baseline.arm, baseline_steps, clock, steps))
        self.designers[config.arm, "timed"] = config.get("designer_checkpoint")
        step = self.slower * SECONDS_PER_STEP.get(config.arm, 0.25) / SECONDS_PER_STEP[baseline.arm]
        steps = steps or round(baseline_steps / step)
        seconds = baseline_steps * SECONDS_PER_STEP[baseline.arm]
        return {"steps": steps, "cost": steps * step / baseline_steps, "kinds": {}, "baseline_seconds": seconds}

    def probe(self, backbone: Path, config: Config, run_dir: Path, seed: int) -> None:
        name = run_dir.parent.name
        self.probed.append((name, seed))
        if self.fail_probe_at == (name, seed):
            raise RuntimeError("probe failed")
        score = {"start": 40.0, "fixed": 41.0}.get(name, 42.0) + 0.1 * seed * (name != "fixed")
        (run_dir / "probes").mkdir(parents=True, exist_ok=True)
        result = {"task": "segmentation", "scores": {"mIoU": score}, "card": {"steps": config.steps}, "seconds": 2.0}
        (run_dir / "probes" / "segmentation.json").write_text(json.dumps(result))


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def config(tmp_path: Path, monkeypatch) -> dict:
    """A comparison as a config file would give it; paths are relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, designer in (("fixed", "identity"), ("vp", "unet")):
        text = f"backbone = dict(depth=4, checkpoint=None)\ndesigner = dict(name='{designer}', lr=1e-3)\n"
        Path(f"{name}.py").write_text(text + "budget = dict(steps=7)\n")
    Path("start.safetensors").write_text("start")
    return {
        "start": {"backbone": "start.safetensors"},
        "arms": {
            "fixed_steps": {"config": "fixed.py", "steps_of": "vpretraining"},
            "fixed": {"config": "fixed.py"},
            "vpretraining": {"config": "vp.py", "cfg_options": {"designer.lr": 1e-2}},
        },
        "budget": {"seconds": 10},
        "seeds": [0, 1, 2],
        "probes": {"steps": 50},
        "work_dir": "runs",
    }


@pytest.fixture
def comparison(config):
    return read_comparison(config)


@pytest.fixture
def compare():
    """tools/compare.py with other workers; errors are raised."""

    def run(arguments: list[str], workers: Workers) -> None:
        run_command(parser().parse_args(arguments), " ".join(["python tools/compare.py", *arguments]), workers)

    return run
