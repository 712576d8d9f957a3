"""pass@1 on the test problems of tools/prepare_data.py word_problems.

Command:  python tools/probe.py configs/probes/word_problems.py --backbone RUN
"""

from vssl.language.pass_at_1 import PassAt1

_root = "data/word_problems"
probes = dict(
    problems=dict(type=PassAt1, root=f"{_root}/test.jsonl", tokenizer=f"{_root}/tokenizer.json", max_new_tokens=40)
)
