"""φ's side of a run: feedback from labeled pools, and the meta step that follows it."""

import math
import warnings
from functools import partial
from typing import Any

from mmengine.config import Config
from torch.optim import Optimizer
from torch.utils.data import Dataset

from vssl.designers import Designer
from vssl.engine.budget import Budget
from vssl.engine.config import ConfigError, build, resolve
from vssl.engine.designer_update import DesignerUpdate
from vssl.engine.horizon_update import HorizonUpdate
from vssl.engine.learner_step import LearnerStep
from vssl.feedback import Feedback, FeedbackTask
from vssl.value.metagradient import central_difference

# Keys of ``value`` that only rollouts read, and those that only the value of one step does.
OF_ROLLOUTS = ("horizon", "halvings", "rollouts", "pairs", "sigma", "directions", "unrolls", "control_variate")
OF_ONE_STEP = ("rule", "combine", "average_g_down", "g_down_every", "estimator", "recognisability", "norm_growth")


def build_designer_update(
    config: Config,
    learner_step: LearnerStep,
    budget: Budget,
    designer: Designer,
    seed: int,
    placement: dict[str, Any],
) -> DesignerUpdate | HorizonUpdate:
    missing = [key for key in ("feedback", "value") if not config.get(key)]
    if missing:
        raise ConfigError(f"training a designer needs {' and '.join(missing)} in the config too")
    optimizer = None
    if designer.learns_from_values:
        if config.get("designer_optimizer"):
            raise ConfigError(f"{type(designer).__name__} steps itself; remove designer_optimizer")
    else:
        parameters = [p for p in designer.parameters() if p.requires_grad]
        if not parameters:
            raise ConfigError(f"designer {type(designer).__name__} has no parameters; remove designer_optimizer")
        optimizer = _designer_optimizer(config, designer)
    settings = {key: node for key, node in config["value"].items() if key != "batch_size"}
    for key in ("rule", "combine", "average_g_down"):
        if settings.get(key):
            settings[key] = build(settings[key])
    if designer.by_rollouts_alone and not settings.get("horizon"):
        raise ConfigError(f"{type(designer).__name__} has no gradient: set value.horizon, e.g. to 20 learner steps")
    feedback = build_feedback(config.feedback, learner_step.learner.student.embed_dim, seed, placement)
    if settings.get("horizon"):
        return _horizon_update(settings, config, learner_step, budget, designer, feedback, optimizer)
    settings = {key: value for key, value in settings.items() if key not in OF_ROLLOUTS}
    estimator = dict(settings.get("estimator") or dict(type=central_difference))
    kind = resolve(estimator.pop("type"), "value.estimator")
    settings["estimator"] = partial(kind, **estimator)
    settings["accumulation"] = learner_step.accumulation
    return DesignerUpdate(learner_step.learner, designer, feedback, optimizer, learner_step.optimizer, **settings)


def _horizon_update(
    settings: dict[str, Any],
    config: Config,
    learner_step: LearnerStep,
    budget: Budget,
    designer: Designer,
    feedback: Feedback,
    optimizer: Optimizer | None,
) -> HorizonUpdate:
    horizon = settings["horizon"]
    if designer.adversarial:
        raise ConfigError(
            f"designer: adversarial=True follows the loss of one step, not value.horizon={horizon}; set 0"
        )
    if penalties := [key for key in ("recognisability", "norm_growth") if settings.get(key)]:
        raise ConfigError(f"value.{penalties[0]} is a penalty on one step, value.horizon={horizon}; set it to 0")
    still = learner_step.head_share * (budget.steps or 0)
    if settings.get("burn_in", 0) < still:
        raise ConfigError(
            f"value.burn_in={settings.get('burn_in', 0)}: a rollout is worth nothing while the backbone stands still, "
            f"which it does for schedule.head_share of the budget; give at least {math.ceil(still)}"
        )
    combine = settings.get("combine")
    weights = dict.fromkeys(feedback.tasks, 1.0) if combine is None else combine.weights
    settings = {key: value for key, value in settings.items() if key not in OF_ONE_STEP}
    update = HorizonUpdate(learner_step, budget, designer, feedback, weights, optimizer, **settings)
    if budget.steps and (tried := update.learner_steps() * sum(map(update.due, range(budget.steps)))) > budget.steps:
        warnings.warn(
            f"rollouts will take {tried} learner steps, the run itself {budget.steps}; a longer value.period makes "
            "meta steps rarer",
            stacklevel=2,
        )
    return update


def _designer_optimizer(config: Config, designer: Designer) -> Optimizer:
    """The optimizer of φ; parts of a designer that `designer_learning_rates` names have their own rates."""
    rates = config.get("designer_learning_rates") or {}
    parts = list(dict.fromkeys(name.split(".")[0] for name, _ in designer.named_parameters()))
    if unknown := set(rates) - set(parts):
        raise ConfigError(
            f"designer_learning_rates names {sorted(unknown)}; the parts of {type(designer).__name__} are {parts}"
        )
    groups: dict[str | None, list] = {}
    for name, parameter in designer.named_parameters():
        if parameter.requires_grad:
            part = name.split(".")[0]
            groups.setdefault(part if part in rates else None, []).append(parameter)
    own = [{"params": group, **({} if part is None else {"lr": rates[part]})} for part, group in groups.items()]
    return build(config.designer_optimizer, own)


def build_feedback(node: dict[str, Any], embed_dim: int, seed: int, placement: dict[str, Any]) -> Feedback:
    settings = {key: value for key, value in node.items() if key not in ("type", "tasks", "pools")}
    if node["tasks"].keys() != node["pools"].keys():
        raise ConfigError(
            f"feedback: tasks {sorted(node['tasks'])} and pools {sorted(node['pools'])} must have the same names"
        )
    control = settings.get("control")
    datasets = {name: build_dataset(pool["dataset"]) for name, pool in node["pools"].items()}
    # Heads draw their first weights one after the other, and a saved config has its keys sorted.
    tasks = {name: _task(task, datasets[name], name, embed_dim) for name, task in sorted(node["tasks"].items())}
    pools = {}
    for name, pool in node["pools"].items():
        try:
            pools[name] = build({**pool, "dataset": datasets[name]}, seed=seed, control=control, **placement)
        except ValueError as error:
            raise ConfigError(f"feedback.pools.{name} ({pool['dataset'].get('root')}): {error}") from error
    kind = resolve(node.get("type", Feedback), "feedback")
    return kind(tasks, pools, seed=seed, **settings).to(placement["device"])


def _task(node: dict[str, Any], dataset: Dataset, name: str, embed_dim: int) -> FeedbackTask:
    """A task, with what its labels say of themselves where the config is silent."""
    kind = resolve(node["type"], f"feedback.tasks.{name}")
    return build({**kind.stated_by(dataset), **node}, embed_dim)  # type: ignore[attr-defined]  # a FeedbackTask


def build_dataset(node: dict[str, Any]) -> Dataset:
    """A dataset and the joint transform inside it."""
    node = dict(node)
    if node.get("transform"):
        node["transform"] = build(node["transform"])
    return build(node)
