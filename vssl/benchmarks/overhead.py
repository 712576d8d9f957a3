"""`overhead`: how much longer a designed run takes than the same run without its designer, by kind of step.

With ``--memory`` it measures memory in place of time.
"""

import argparse
import math
from functools import partial

from mmengine.config import Config

from vssl.benchmarks.result_table import add_parser, prepare, publish
from vssl.benchmarks.step_memory import measure_memory
from vssl.benchmarks.timing import Quartiles
from vssl.config_files import config_file
from vssl.engine import load_config
from vssl.engine.step_cost import FIRST_META, LEARNER, META, META_WITH_G_DOWN, compare_cost
from vssl.options import add_cfg_options
from vssl.progress import say

_DESIGNED = ("mae", "dino", "ibot", "dinov2", "dinov3", "ijepa", "neco", "paka", "vicreg", "mix")
CONFIGS = (*(f"scenes/{name}_vpretraining" for name in _DESIGNED), "scenes/simclr_policy")
_DESIGNING = ("designer", "designer_optimizer", "feedback", "value")


def add_command(commands) -> None:
    parser = add_parser(commands, "overhead", "time of designed runs over the same runs without a designer", None)
    parser.add_argument("configs", nargs="*", default=list(CONFIGS), help="training configs; their data must be there")
    parser.add_argument("--steps", type=int, help="of the run whose schedule is counted; left out: the config's own")
    parser.add_argument(
        "--memory", type=int, metavar="N", help="measure memory in place of time, each run in N fresh processes"
    )
    add_cfg_options(parser, "value.period=8 backbone.aligned_blocks=1")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Costs of kinds of steps that a run does not have are nan.

    Raises:
        ValueError: a config without a designer to train, or without a meta step in its steps.
    """
    prepare(arguments)
    common = {"threads": arguments.threads, "device": str(arguments.device)}
    options = arguments.cfg_options | common
    pairs = [(name, _designed(name, options), _fixed(name, options)) for name in arguments.configs]
    if arguments.memory is not None:
        return _memory(arguments, options)
    rows = []
    for name, designed, fixed in pairs:
        steps = arguments.steps or designed.budget.steps
        found = compare_cost(designed, fixed, steps, "processor", arguments.seed, steps)
        kinds = {kind: of["relative_cost"] for kind, of in found["kinds"].items() if of["count"]}
        if FIRST_META not in kinds:
            raise ValueError(f"{name}: no meta step comes in {steps} steps; give more --steps, or a shorter burn_in")
        rows.append(
            {
                "config": name,
                "steps": steps,
                "seconds_a_step": found["baseline_seconds"] / steps,
                "learner": kinds[LEARNER],
                "first_meta_step": kinds[FIRST_META],
                "with_a_meta_step": kinds.get(META, math.nan),
                "and_g_down": kinds.get(META_WITH_G_DOWN, math.nan),
                "meta_steps": sum(of["count"] for kind, of in found["kinds"].items() if kind != LEARNER),
                "whole_run": found["cost"],
            }
        )
        say(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    kinds = dict.fromkeys(("learner", "first_meta_step", "with_a_meta_step", "and_g_down"), ".2f")
    columns = {"config": "", "steps": "d", "seconds_a_step": ".3f", **kinds, "meta_steps": "d", "whole_run": ".3f"}
    publish(arguments, "costs in steps of the run without a designer", rows, columns)


def _memory(arguments: argparse.Namespace, options: dict) -> None:
    if arguments.memory < 1:
        raise ValueError(f"--memory {arguments.memory}: give 1 or more processes")
    rows = []
    for name in arguments.configs:
        measured = {
            load.__name__: [
                measure_memory(partial(load, name, options), arguments.device, arguments.seed)
                for _ in range(arguments.memory)
            ]
            for load in (_fixed, _designed)
        }
        rows.append(
            {
                "config": name,
                "without_a_designer": Quartiles.of([of.whole for of in measured["_fixed"]]),
                "learner_step": Quartiles.of([of.learner for of in measured["_designed"]]),
                "with_meta_steps": Quartiles.of([of.whole for of in measured["_designed"]]),
            }
        )
        say(", ".join(f"{k} {v:.0f}" if isinstance(v, Quartiles) else f"{k} {v}" for k, v in rows[-1].items()))
    columns = {"config": "", "without_a_designer": ".0f", "learner_step": ".0f", "with_meta_steps": ".0f"}
    processes = f"medians [quartiles] of {arguments.memory} processes"
    publish(arguments, f"MiB above what the process held before the run was built; {processes}", rows, columns)


def _designed(name: str, options: dict) -> Config:
    path = config_file(name)
    designed = load_config(path, options)
    if not designed.get("feedback"):
        raise ValueError(f"{path} has no feedback, so there is no designer whose cost could be measured")
    return designed


def _fixed(name: str, options: dict) -> Config:
    """The same run without its designer."""
    fixed = load_config(config_file(name), {k: v for k, v in options.items() if k.split(".")[0] not in _DESIGNING})
    fixed.designer = {"type": "vssl.designers.Identity"}
    for key in _DESIGNING[1:]:
        fixed[key] = None
    return fixed
