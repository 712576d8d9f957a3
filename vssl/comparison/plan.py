"""A comparison's config, checked before any work, and the order in which its runs are made."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vssl.arm_settings import arm_options, check_arm, check_keys, on_top, options_of, written_out
from vssl.comparison.arm_budget import check_baseline_steps, check_budget, check_start_budget
from vssl.config_files import config_file
from vssl.engine.config import ConfigError, load_config
from vssl.reports import START

LABELS = {"fixed": "fixed recipe", "vpretraining": "V-Pretraining", START: "start checkpoint"}

_TOP_KEYS = {
    "title", "start", "arms", "seeds", "budget", "baseline", "candidate", "headroom", "one_step_probe", "probes",
    "correction", "work_dir", "continues", "configs", "cfg_options", "feedback_options",
}  # fmt: skip
_ONE_STEP_KEYS = {"interval", "batch_size", "batches", "heldout", "feedback_of"}
_START_KEYS = {"config", "cfg_options", "budget", "seed", "backbone", "backbone_of", "probe_seeds", "label"}
_ARM_KEYS = {"config", "like", "cfg_options", "budget", "steps_of", "designer_of", "continues", "against", "label"}


@dataclass(frozen=True)
class Arm:
    """One way to continue pretraining.

    budget: ``{"steps": N}``, ``{"seconds": S}`` or ``{"baseline_steps": N}`` (as long as N steps of the baseline take),
    each with a ``clock`` or without; empty when `steps_of` names the arm whose actual number of steps, seed by seed, is
    this arm's budget.
    designer_of: the arm whose final designer, seed by seed, is the one that this arm begins with.
    continues: of the start, the ``"backbone"`` alone, or the whole ``"run"``: its SSL head or decoder, teacher and the
    optimizer's moments too. None: decided by their objectives (see `execute.settle_continues`).
    against: the arm that this one's scores are compared with; None: the baseline.
    """

    name: str
    label: str
    config: Path
    cfg_options: dict
    budget: dict
    steps_of: str | None = None
    designer_of: str | None = None
    continues: Literal["backbone", "run"] | None = None
    against: str | None = None

    @property
    def follows(self) -> set[str]:
        """The arms that must have run, with the same seed, before this one."""
        return {other for other in (self.steps_of, self.designer_of) if other is not None}

    def begin_at(self, config: Any, backbone: Path) -> None:
        """Have the run of `config` begin where the start ended, whose backbone's file is `backbone`."""
        config.backbone.checkpoint = str(backbone)
        config.backbone.pop("checkpoint_key", None)  # the start's file holds one network
        if config.backbone.get("pretrained"):
            config.backbone.pretrained = False
        if self.continues == "run":
            config.continue_run = str(backbone.parent)


@dataclass(frozen=True)
class Start:
    """The checkpoint that every arm continues: a given `backbone` file, what the config of the arm `backbone_of` begins
    with, or the result of training `config`.

    probe_seeds: the seeds that its own probes are run with; the first seed alone unless given, which is enough for
    probes that do not depend on the seed.
    """

    label: str
    probe_seeds: list[int]
    backbone: Path | None = None
    backbone_of: str | None = None
    config: Path | None = None
    cfg_options: dict = field(default_factory=dict)
    budget: dict | None = None
    seed: int = 0


@dataclass(frozen=True)
class OneStep:
    """The one-step probe of every arm, see `vssl.engine.one_step`.

    settings: its interval, batch_size, batches. images: of the third labeled part, per pool. feedback_of: the arm whose
    feedback measures the arms that have none.
    """

    settings: dict
    images: int
    feedback_of: str


@dataclass(frozen=True)
class Comparison:
    """headroom: the arm that shows what there was to gain over the baseline, e.g. the best fixed recipe."""

    title: str
    work_dir: Path
    start: Start
    arms: dict[str, Arm]
    seeds: list[int]
    baseline: str
    candidate: str
    probes: str | dict
    correction: str | None
    headroom: str | None = None
    one_step: OneStep | None = None

    def layout(self, command: str) -> dict:
        """What `vssl.reports.collect` needs to know of this comparison."""
        arms = {
            arm.name: {
                "label": arm.label,
                "config": arm.config.as_posix(),
                "cfg_options": arm.cfg_options,
                "budget": arm.budget or {"steps_of": arm.steps_of},
                "against": arm.against or self.baseline,
            }
            for arm in self.arms.values()
        }
        start = {"label": self.start.label, "probe_seeds": self.start.probe_seeds}
        source = self.start.backbone or self.start.config
        if self.start.backbone_of is not None:
            source = self.arms[self.start.backbone_of].config
        start["source"] = source.as_posix()
        head = {"title": self.title, "command": command, "correction": self.correction, "seeds": self.seeds}
        roles = {"baseline": self.baseline, "candidate": self.candidate, "headroom": self.headroom}
        return {**head, **roles, "start": start, "arms": arms}


def read_comparison(
    config: Mapping, source: str = "the comparison config", seeds: list[int] | None = None, work_dir: str | None = None
) -> Comparison:
    """Check `config` (see docs/compare.md for its keys) and turn it into a `Comparison`.

    Keys that begin with an underscore are the config's own variables. `seeds` and `work_dir` replace the config's.
    ValueError or FileNotFoundError says what is wrong with which key.
    """
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    check_keys(config, _TOP_KEYS, required={"start", "arms", "probes"}, where=source)
    seeds = _check_seeds(list(config.get("seeds", [0, 1, 2])) if seeds is None else seeds, source)
    for name, about in config["arms"].items():
        check_keys(about, _ARM_KEYS, required=set(), where=f"{source}: arm {name!r}")
    whole = written_out(config["arms"], source)
    arms = {name: _read_arm(name, about, config, source) for name, about in whole.items()}
    _check_references(arms, source)
    start = _read_start(config["start"], config, arms, seeds, source)
    if start.config is None and (going := [name for name, arm in arms.items() if arm.continues == "run"]):
        raise ValueError(f"{source}: arm {going[0]!r}: continues='run' needs a start with config=FILE, not a backbone")
    work_dir = work_dir or config.get("work_dir")
    if not work_dir:
        raise ValueError(f"{source}: no work_dir; set it there or give --work-dir")
    correction = config.get("correction")
    if correction not in (None, "holm", "bonferroni"):
        raise ValueError(f"{source}: correction is {correction!r}; expected None, 'holm' or 'bonferroni'")
    baseline = check_arm(config.get("baseline", "fixed"), arms, f"{source}: baseline")
    candidate = check_arm(config.get("candidate", "vpretraining"), arms, f"{source}: candidate")
    check_baseline_steps({name: arm.budget for name, arm in arms.items()}, baseline, source)
    headroom = _read_headroom(config.get("headroom"), arms, baseline, source)
    for name in filter(None, (baseline, candidate, headroom)):
        if arms[name].against not in (None, baseline):
            raise ConfigError(
                f"{source}: arm {name!r}: against={arms[name].against!r}; the verdict compares this arm with the "
                f"baseline, {baseline!r}. Leave against out there"
            )
    return Comparison(
        title=config.get("title", "V-Pretraining against the fixed recipe"),
        work_dir=Path(work_dir),
        start=start,
        arms=arms,
        seeds=seeds,
        baseline=baseline,
        candidate=candidate,
        probes=config["probes"],
        correction=correction,
        headroom=headroom,
        one_step=_read_one_step(config.get("one_step_probe"), arms, candidate, source),
    )


def run_order(
    arms: Mapping[str, Arm], seeds: Iterable[int], only: Container[str] | None = None
) -> list[tuple[str, int]]:
    """(arm, seed) pairs in the order they are run, of all arms or of those in `only`.

    Arms take turns within a seed, so that a machine that slows down slows every arm alike, and the first place rotates
    from seed to seed, so that none is always the one that runs first. An arm with `steps_of` or
    `designer_of` follows the arms it names.
    """
    names, order = list(arms), []
    for turn, seed in enumerate(seeds):
        shift = turn % len(names) if names else 0
        waiting, done = names[shift:] + names[:shift], set()
        while waiting:
            ready = next(name for name in waiting if not arms[name].follows & set(waiting))
            waiting.remove(ready)
            done.add(ready)
            order.append((ready, seed))
    return [(name, seed) for name, seed in order if only is None or name in only]


def _read_headroom(name: str | None, arms: Mapping[str, Arm], baseline: str, source: str) -> str | None:
    if name is None:
        return None
    if check_arm(name, arms, f"{source}: headroom") == baseline:
        raise ConfigError(f"{source}: headroom={name!r} is the baseline; name an arm that is better, or leave it out")
    return name


def _read_one_step(about: Mapping | None, arms: Mapping[str, Arm], candidate: str, source: str) -> OneStep | None:
    if not about:
        return None
    where = f"{source}: one_step_probe"
    check_keys(about, _ONE_STEP_KEYS, required={"interval", "heldout"}, where=where)
    for key in _ONE_STEP_KEYS - {"feedback_of"}:
        if key in about and not (isinstance(about[key], int) and about[key] >= 1):
            raise ConfigError(f"{where}: {key}={about[key]!r}; expected a whole number ≥ 1")
    settings = {key: about[key] for key in ("interval", "batch_size", "batches") if key in about}
    feedback_of = check_arm(about.get("feedback_of", candidate), arms, f"{where}: feedback_of")
    return OneStep(settings, about["heldout"], feedback_of)


def _read_arm(name: str, about: Mapping, comparison: Mapping, source: str) -> Arm:
    where = f"{source}: arm {name!r}"
    if name == START or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(
            f"{where}: not a usable name; letters, digits, - and _ (and not {START!r}, the start's folder)"
        )
    if "config" not in about:
        raise ConfigError(f"{where}: missing config; give a training config, or like=ARM for another arm's")
    if "budget" in about and "steps_of" in about:
        raise ValueError(f"{where}: budget and steps_of exclude each other; keep one")
    if (continues := about.get("continues", comparison.get("continues"))) not in (None, "backbone", "run"):
        raise ValueError(f"{where}: continues={continues!r}; give 'backbone', or 'run' for the start's SSL head too")
    steps_of = about.get("steps_of")
    budget = {} if steps_of else check_budget(about.get("budget", comparison.get("budget")), where)
    config = _config(about["config"], comparison, where)
    return Arm(
        name=name,
        label=about.get("label", LABELS.get(name, name.replace("_", " "))),
        config=config,
        cfg_options=arm_options(about, comparison, source, where, lambda: load_config(config).get("feedback")),
        budget=budget,
        steps_of=steps_of,
        designer_of=about.get("designer_of"),
        continues=continues,
        against=about.get("against"),
    )


def _read_start(about: Mapping, comparison: Mapping, arms: Mapping[str, Arm], seeds: list[int], source: str) -> Start:
    where = f"{source}: start"
    check_keys(about, _START_KEYS, required=set(), where=where)
    given = [key for key in ("backbone", "backbone_of", "config") if key in about]
    if len(given) != 1:
        raise ValueError(
            f"{where}: give either backbone=FILE (a safetensors file), backbone_of=ARM (what its config has) or "
            "config=FILE (trained first)"
        )
    probe_seeds = _check_seeds(list(about.get("probe_seeds", seeds[:1])), f"{where}: probe_seeds")
    common = {
        "label": about.get("label", LABELS[START]),
        "probe_seeds": [seed for seed in probe_seeds if seed in seeds],
    }
    if "config" not in about:
        stray = set(about) - {*given, "probe_seeds", "label"}
        if stray:
            raise ValueError(f"{where}: {', '.join(sorted(stray))} only apply to a start that is trained from a config")
        if "backbone_of" in about:
            return Start(backbone_of=check_arm(about["backbone_of"], arms, f"{where}: backbone_of"), **common)
        if not Path(about["backbone"]).is_file():
            raise FileNotFoundError(f"{where}: {about['backbone']} does not exist (paths are relative to {Path.cwd()})")
        return Start(backbone=Path(about["backbone"]), **common)
    return Start(
        config=_config(about["config"], comparison, where),
        cfg_options=on_top(options_of(comparison, source), options_of(about, where)),
        budget=check_start_budget(about["budget"], where) if "budget" in about else None,
        seed=about.get("seed", 0),
        **common,
    )


def _check_seeds(seeds: list, where: str) -> list[int]:
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        raise ValueError(f"{where}: seeds are {seeds}; expected at least one whole number ≥ 0")
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise ValueError(f"{where}: seed {repeated[0]} is given twice; the same run counted twice would fake precision")
    return seeds


def _check_references(arms: Mapping[str, Arm], source: str) -> None:
    if not arms:
        raise ValueError(f"{source}: no arms")
    for arm in arms.values():
        if arm.against is not None and check_arm(arm.against, arms, f"{source}: arm {arm.name!r}: against") == arm.name:
            raise ConfigError(f"{source}: arm {arm.name!r}: against names the arm itself; name another one")
        if arm.designer_of is not None:
            check_arm(arm.designer_of, arms, f"{source}: arm {arm.name!r}: designer_of")
            if arms[arm.designer_of].follows:
                raise ValueError(f"{source}: arm {arm.name!r}: designer_of={arm.designer_of!r} waits for another arm")
        chain, following = [arm.name], arm
        while following.steps_of is not None:
            check_arm(following.steps_of, arms, f"{source}: arm {following.name!r}: steps_of")
            chain.append(following.steps_of)
            if len(set(chain)) < len(chain):
                raise ValueError(f"{source}: steps_of goes round in a circle: {' → '.join(chain)}")
            following = arms[following.steps_of]


def _config(name: str, comparison: Mapping, where: str) -> Path:
    """The config below the comparison's folder of `configs`, or at the path itself."""
    try:
        return config_file(Path(comparison.get("configs", ""), name))
    except FileNotFoundError as error:
        if Path(name).is_file():
            return Path(name)
        raise FileNotFoundError(f"{where}: {error} (paths are relative to {Path.cwd()})") from error
