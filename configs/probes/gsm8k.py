"""pass@1 on GSM8K's test set (1319 problems). Not run here.

GSM8K: test.jsonl of https://github.com/openai/grade-school-math (MIT licence), as data/gsm8k/test.jsonl. The tokenizer
is the model's own; those of Qwen1.5 are alike.

Command:  python tools/probe.py configs/probes/gsm8k.py --backbone RUN
"""

from vssl.language.pass_at_1 import PassAt1

probes = dict(
    gsm8k=dict(
        type=PassAt1,
        root="data/gsm8k/test.jsonl",
        tokenizer="data/qwen1.5-0.5b",
        prompt="Question: {question}\nAnswer:\n",
        max_new_tokens=320,
        batch_size=32,
    )
)
