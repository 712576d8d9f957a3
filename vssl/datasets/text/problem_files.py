"""Writes word problems: an unlabeled stream with worked problems and other text, labeled pools, and a tokenizer."""

import json
import random
from pathlib import Path

from vssl.datasets.text.problems import Difficulty, WordProblem, distractor, word_problem
from vssl.datasets.text.tokens import need_tokenizers, train_tokenizer
from vssl.whole_files import write_json, write_text


def write_word_problems(
    out: str | Path,
    difficulty: Difficulty | None = None,
    documents: int = 20_000,
    distractors: float = 0.5,
    train: int = 2_000,
    test: int = 500,
    seed: int = 0,
    validation: int = 500,
    start: int = 10_000,
) -> Path:
    """Write ``stream.jsonl``, ``start.jsonl``, the labeled ``train.jsonl``, ``validation.jsonl`` and ``test.jsonl``,
    ``tokenizer.json`` and ``dataset.json`` under `out`.

    No question of one file is in another. The same arguments write the same bytes.

    Args:
        documents: texts of the stream.
        distractors: share of them, in [0, 1), that is not a problem.
        train, test: problems with answers; `test` is for scores alone.
        seed: of everything.
        validation: problems with answers to choose settings on.
        start: worked problems without other text, the stream of a model that is to be continued. These two are drawn
            last: how many there are changes no file before them.

    Returns: the path of ``dataset.json``.

    Raises:
        ValueError: a number outside its range, or fewer different problems than are asked for.
    """
    difficulty, out = difficulty or Difficulty(), Path(out)
    if not 0 <= distractors < 1:
        raise ValueError(f"distractors={distractors}: give a share from 0 to below 1")
    counts = {"documents": documents, "train": train, "test": test, "validation": validation, "start": start}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}={count}: give 1 or more")
    need_tokenizers()
    taken: set[str] = set()
    for split, count in {"test": test, "train": train}.items():  # the same test set whatever the others are
        _write_labeled(out / f"{split}.jsonl", _new_problems(seed, split, count, difficulty, taken))
    others = round(documents * distractors)
    texts = [p.text for p in _new_problems(seed, "stream", documents - others, difficulty, taken)]
    texts += [distractor(seed, "stream", number) for number in range(others)]
    _write_labeled(out / "validation.jsonl", _new_problems(seed, "validation", validation, difficulty, taken))
    beginnings = [p.text for p in _new_problems(seed, "start", start, difficulty, taken)]
    random.Random(f"{seed}/order").shuffle(texts)
    for name, written in {"stream": texts, "start": beginnings}.items():
        write_text(out / f"{name}.jsonl", "\n".join(json.dumps({"text": text}) for text in written) + "\n")
    vocabulary = train_tokenizer(sorted(texts), out / "tokenizer.json").get_vocab_size()
    about = {
        "name": "word problems",
        "seed": seed,
        **{key: getattr(difficulty, key) for key in ("largest", "steps", "names", "things")},
        **counts,
        "distractors": distractors,
        "vocabulary": vocabulary,
        "licence": "none needed: written by tools/prepare_data.py word_problems",
    }
    write_json(out / "dataset.json", about)
    return out / "dataset.json"


def _write_labeled(path: Path, problems: list[WordProblem]) -> None:
    lines = [json.dumps({"question": p.question, "answer": p.answer}) for p in problems]
    write_text(path, "\n".join(lines) + "\n")


def _new_problems(seed: int, split: str, count: int, difficulty: Difficulty, taken: set[str]) -> list[WordProblem]:
    """`count` problems whose questions are not in `taken`, which they are added to."""
    found: list[WordProblem] = []
    number = 0
    while len(found) < count:
        if number > 50 * count + 1000:
            raise ValueError(
                f"only {len(found)} of {count} different problems were found for {split}: raise largest or steps, or "
                "ask for fewer"
            )
        problem = word_problem(seed, split, number, difficulty)
        number += 1
        if problem.question not in taken:
            taken.add(problem.question)
            found.append(problem)
    return found
