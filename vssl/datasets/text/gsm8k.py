"""Problems with answers that end in ``#### N``: the format of GSM8K (Cobbe et al. 2021, arXiv 2110.14168)."""

import json
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

_FINAL = re.compile(r"#### *([-+]?\$?[\d.,]+)")


class SolvedProblem(NamedTuple):
    """One line of the file; `number` is what stands behind ``####``."""

    question: str
    answer: str
    number: Decimal


def final_number(text: str) -> Decimal | None:
    """The number behind the first ``####``, without thousands separators; None where there is none.

    The verifier: an answer is right when its number is that of the reference, as in GSM8K's own code.

    Example::

        >>> final_number("1,000 + 5 = 1,005\\n#### 1,005")
        Decimal('1005')
        >>> final_number("I do not know") is None
        True
    """
    found = _FINAL.search(text)
    if found is None:
        return None
    try:
        return Decimal(found[1].replace(",", "").replace("$", "").rstrip("."))
    except InvalidOperation:
        return None


def read_gsm8k(path: str | Path, limit: int | None = None) -> list[SolvedProblem]:
    """The problems of a jsonl file with the keys ``question`` and ``answer``.

    Args:
        limit: the first so many alone.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line that is no such problem; the message has its number. Or the file has none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; write problems with tools/prepare_data.py word_problems, or give GSM8K's own "
            "train.jsonl or test.jsonl"
        )
    problems: list[SolvedProblem] = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if limit is not None and len(problems) == limit:
                break
            if line.strip():
                problems.append(_read(line, f"{path}, line {number}"))
    if not problems:
        raise ValueError(f"{path} holds no problems; a line is {{'question': …, 'answer': '… #### N'}}")
    return problems


def _read(line: str, where: str) -> SolvedProblem:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON ({error}); a line is one object") from error
    given = entry if isinstance(entry, dict) else {}
    texts = [text for key in ("question", "answer") if isinstance(text := given.get(key), str) and text.strip()]
    if len(texts) < 2:
        raise ValueError(f"{where} needs the keys 'question' and 'answer', each with text")
    question, answer = texts
    if (number := final_number(answer)) is None:
        raise ValueError(f"{where}: the answer does not end with '#### N' ({answer[-40:]!r})")
    return SolvedProblem(question, answer, number)
