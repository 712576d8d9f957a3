"""Arithmetic word problems among other text (tools/prepare_data.py word_problems)."""

from vssl.datasets.text import TokenWindows

_root = "data/word_problems"
unlabeled = dict(type=TokenWindows, root=f"{_root}/stream.jsonl", tokenizer=f"{_root}/tokenizer.json", length=64)
