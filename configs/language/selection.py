"""Which learning rate does every arm of compare.py get? Three trials an arm, the baseline's included, one seed.

Scores are of the validation problems, which compare.py does not see.

Command:  python tools/prepare_data.py word_problems --largest 10 --steps 1 --distractors 0.8 --test 300
          python tools/train.py configs/language/start.py
          python tools/compare.py configs/language/selection.py
Expected: docs/language.md, "Settings". Chosen is the trial with the lowest answer loss; compare.py has the choice.
"""

from vssl.language.pass_at_1 import PassAt1

title = "Word problems: the rate of every arm, on the validation problems"
work_dir = "runs/language_selection"
configs = "configs/language"
start = dict(backbone="runs/start/seed0/backbone.safetensors", label="start")
_root = "data/word_problems"
probes = dict(
    probes=dict(
        problems=dict(
            type=PassAt1, root=f"{_root}/validation.jsonl", tokenizer=f"{_root}/tokenizer.json", max_new_tokens=40
        )
    )
)
baseline, candidate = "next_token_1", "word_weights_1"
seeds = [10]
budget = dict(steps=250)

_rates = (1e-3, 2e-3, 4e-3)
_configs = dict(
    next_token="next_token.py",
    word_weights="word_weights.py",
    soft_targets="soft_targets.py",
    smoothing="uniform_smoothing.py",
    distillation="self_distillation.py",
)
arms = {
    f"{_name}_{1000 * _rate:.0f}": dict(config=_config, cfg_options={"optimizer.lr": _rate})
    for _name, _config in _configs.items()
    for _rate in _rates
}
