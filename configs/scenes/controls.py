"""The demo with a step-matched arm and its controls: what is left of an effect without feedback or learning?

Command:  python tools/compare.py configs/scenes/controls.py      (about 20 minutes on two cores, the demo included)
          Runs that `make demo` has finished are used again: the work directory is the same.
Expected: docs/compare.md
"""

from mmengine.config import read_base

with read_base():
    from .demo import *

_untrained = dict(feedback=None, value=None, designer_optimizer=None)
arms.update(
    fixed_same_steps=dict(config=_fixed, steps_of="vpretraining", label="fixed recipe, same steps"),
    untrained=dict(config=_designed, budget=dict(seconds=40), cfg_options=_untrained, label="untrained designer"),
    random=dict(
        config=_designed, budget=dict(seconds=40), cfg_options={"feedback.control": "random"}, label="random feedback"
    ),
    negated=dict(
        config=_designed, budget=dict(seconds=40), cfg_options={"feedback.control": "negated"}, label="negated feedback"
    ),
    shuffled=dict(
        config=_designed,
        budget=dict(seconds=40),
        cfg_options={"feedback.control": "shuffled_labels"},
        label="shuffled labels",
    ),
)
correction = "holm"
