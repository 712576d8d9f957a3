"""Does the predicted drop of a step happen? One-step probes on text, with a fixed recipe and with a designer.

Command:  python tools/prepare_data.py word_problems --largest 10 --steps 1 --distractors 0.8 --test 300
          python tools/train.py configs/language/start.py
          python tools/compare.py configs/language/one_step.py
Expected: docs/language.md, "Does the predicted drop happen?"
"""

title = "Word problems: one-step probes"
work_dir = "runs/language_one_step"
configs = "configs/language"
start = dict(backbone="runs/start/seed0/backbone.safetensors", label="start")
probes = "configs/probes/word_problems.py"
baseline, candidate = "next_token", "word_weights"
seeds = [10, 11, 12, 13]
budget = dict(steps=250)
one_step_probe = dict(interval=25, heldout=100)
arms = dict(next_token=dict(config="next_token.py"), word_weights=dict(config="word_weights.py"))
