"""The unlabeled stream: texts one after the other, cut into windows of one length."""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from vssl.datasets.sampler import index_and_position
from vssl.datasets.text.tokens import end_of_text, load_tokenizer


class TokenWindows(Dataset):
    """Windows of ``length + 1`` tokens. The last of each is the first of the next: every token is predicted once.

    Texts are put one after the other with the end-of-text token between them. A window may hold the end of one and the
    beginning of another; what is left over at the end is dropped. All tokens are in memory, four bytes each.

    Args:
        root: a ``.jsonl`` file with the key ``text``, a ``.txt`` file that is one text, or a folder of such files.
        tokenizer: a ``tokenizer.json``, or a folder with one.
        length: tokens that are predicted in a window, 2 or more.

    Raises:
        FileNotFoundError: no such files. ValueError: a line that is no text, or fewer tokens than one window.
    """

    def __init__(self, root: str | Path, tokenizer: str | Path, length: int = 128):
        if length < 2:
            raise ValueError(f"TokenWindows length={length}: give 2 or more")
        self.root, self.length, encoder = Path(root), length, load_tokenizer(tokenizer)
        end, tokens = end_of_text(encoder), []
        for encoded in encoder.encode_batch(read_texts(self.root), add_special_tokens=False):
            tokens += [*encoded.ids, end]
        self.tokens = np.asarray(tokens, np.int32)
        if not len(self):
            raise ValueError(f"{root} holds {len(tokens)} tokens; a window needs {length + 1}. Give more text")

    def __len__(self) -> int:
        return max(len(self.tokens) - 1, 0) // self.length

    def __getitem__(self, key: int | tuple[int, int]) -> Int[Tensor, " length_and_one"]:
        index, _ = index_and_position(key)
        start = index * self.length
        return torch.from_numpy(self.tokens[start : start + self.length + 1].astype(np.int64))


def read_texts(root: Path) -> list[str]:
    """All texts of a file or a folder, in the order of file names.

    Raises:
        FileNotFoundError, ValueError: with the file, and the line.
    """
    files = sorted(p for p in root.iterdir() if p.suffix in (".jsonl", ".txt")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f"{root}: no .jsonl or .txt file there; write one with tools/prepare_data.py word_problems, or give yours"
        )
    return [text for file in files for text in _texts_of(file)]


def _texts_of(file: Path) -> list[str]:
    if file.suffix == ".txt":
        return [file.read_text(encoding="utf-8")]
    texts = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            text = json.loads(line)["text"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number}: a line is {{'text': …}} ({error})") from error
        if not isinstance(text, str):
            raise ValueError(f"{file}, line {number}: 'text' is {type(text).__name__}, text is needed")
        texts.append(text)
    return texts
