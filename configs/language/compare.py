"""Continued pretraining on word problems among other text: next-token prediction, V-Pretraining, and its controls.

Every arm may train as long as 250 steps of next-token prediction take: designers pay for themselves out of that.

Command:  python tools/prepare_data.py word_problems --largest 10 --steps 1 --distractors 0.8 --test 300
          python tools/train.py configs/language/start.py
          python tools/compare.py configs/language/compare.py
Expected: docs/language.md
"""

title = "Word problems: what to predict"
work_dir = "runs/language"
configs = "configs/language"
start = dict(backbone="runs/start/seed0/backbone.safetensors", label="start")
probes = "configs/probes/word_problems.py"
baseline, candidate = "next_token", "word_weights"
seeds = [0, 1, 2, 3, 4]
budget = dict(baseline_steps=250, clock="processor")

arms = dict(
    next_token=dict(config="next_token.py", label="next token"),
    word_weights=dict(config="word_weights.py", label="V-Pretraining, word weights"),
    random=dict(
        like="word_weights",
        steps_of="word_weights",
        cfg_options={"feedback.control": "random"},
        label="word weights, random feedback",
    ),
    negated=dict(
        like="word_weights",
        steps_of="word_weights",
        cfg_options={"feedback.control": "negated"},
        label="word weights, negated feedback",
    ),
    smoothing=dict(config="uniform_smoothing.py", label="uniform smoothing"),
    distillation=dict(config="self_distillation.py", steps_of="smoothing", label="self-distillation"),
    soft_targets=dict(config="soft_targets.py", label="V-Pretraining, soft targets"),
)
