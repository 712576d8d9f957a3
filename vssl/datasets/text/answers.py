"""A labeled pool of a language model: questions, and the answers that it is asked for."""

from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from vssl.datasets.sampler import index_and_position
from vssl.datasets.text.gsm8k import read_gsm8k
from vssl.datasets.text.tokens import end_of_text, load_tokenizer

PROMPT = "{question}\n"
PADDING = -1
"""Fills questions and answers up to one length; no token has this number."""


class Answers(Dataset):
    """Questions and answers of a GSM8K-like file as tokens: (question, answer), each filled up with `PADDING`.

    Args:
        root: a jsonl file, see `read_gsm8k`.
        tokenizer: a ``tokenizer.json``, or a folder with one.
        prompt: what the model is given; ``{question}`` stands for the question.
        limit: the first so many problems alone; None for all.

    Raises:
        FileNotFoundError, ValueError: see `read_gsm8k`; or `prompt` has no ``{question}``.
    """

    def __init__(self, root: str | Path, tokenizer: str | Path, prompt: str = PROMPT, limit: int | None = None):
        if "{question}" not in prompt:
            raise ValueError(f"Answers prompt={prompt!r}: it must hold {{question}}")
        self.root, encoder = Path(root), load_tokenizer(tokenizer)
        problems, end = read_gsm8k(self.root, limit), end_of_text(encoder)
        asked = [encoder.encode(prompt.replace("{question}", p.question), add_special_tokens=False) for p in problems]
        answered = [encoder.encode(p.answer, add_special_tokens=False) for p in problems]
        self.questions = _filled([encoded.ids for encoded in asked])
        self.answers = _filled([[*encoded.ids, end] for encoded in answered])

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Int[Tensor, " question"], Int[Tensor, " answer"]]:
        index, _ = index_and_position(key)
        return self.questions[index], self.answers[index]

    def paths(self, index: int) -> tuple[Path, Path]:
        """The files of question and answer: the same for all."""
        return self.root, self.root


def _filled(rows: list[list[int]]) -> Int[Tensor, "rows longest"]:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows])
