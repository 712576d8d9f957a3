"""Continued pretraining on word problems among other text: next-token prediction, V-Pretraining, and its controls.

Every arm has 18 seconds of one processor: designers pay for themselves out of them.

Command:  python tools/prepare_data.py word_problems --steps 3 --distractors 0.75 --test 300
          python tools/train.py configs/language/start.py
          python tools/compare.py configs/language/compare.py --jobs 2
Expected: docs/language.md
"""

title = "Word problems: what to predict"
work_dir = "runs/language"
configs = "configs/language"
start = dict(backbone="runs/start/seed0/backbone.safetensors", label="start")
probes = "configs/probes/word_problems.py"
baseline, candidate = "next_token", "token_weights"
seeds = [0, 1]
budget = dict(seconds=18, clock="processor")

arms = dict(
    next_token=dict(config="next_token.py", label="next token"),
    next_token_as_many_steps=dict(
        like="next_token",
        steps_of="token_weights",
        label="next token, as many steps as token weights",
    ),
    token_weights=dict(config="token_weights.py", label="V-Pretraining, token weights"),
    soft_targets=dict(config="soft_targets.py", label="V-Pretraining, soft targets"),
    random=dict(
        like="token_weights",
        cfg_options={"feedback.control": "random"},
        label="token weights, random feedback",
    ),
    negated=dict(
        like="token_weights",
        cfg_options={"feedback.control": "negated"},
        label="token weights, negated feedback",
    ),
    smoothing=dict(config="uniform_smoothing.py", label="uniform smoothing"),
    distillation=dict(config="self_distillation.py", label="self-distillation"),
)
