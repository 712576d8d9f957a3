"""pass@1: how many problems a language model solves at its first try, by greedy decoding and the verifier."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from vssl.datasets.text import Answers, end_of_text, final_number, load_tokenizer, read_gsm8k
from vssl.datasets.text.answers import PADDING, PROMPT
from vssl.language.answer_feedback import IGNORED, joined
from vssl.language.causal_lm import CausalLM
from vssl.probes.base import Probe
from vssl.probes.decoded_images import ProbeData
from vssl.probes.outcome import Outcome, ProbeRun
from vssl.scores import Score


class PassAt1(Probe):
    """Asks every question once. An answer is right when the number behind its ``####`` is the reference's.

    Args:
        root: a jsonl file in the format of GSM8K, see `vssl.datasets.text.read_gsm8k`.
        tokenizer: the model's ``tokenizer.json``, or a folder with one.
        prompt: what the model is given; ``{question}`` stands for the question.
        max_new_tokens: how long an answer may be, 1 or more.
        batch_size: questions at a time; those of one batch have equally many tokens, so that none is filled up.
        limit: the first so many problems alone; None for all.

    Raises:
        ValueError: a number outside its range.
    """

    task = "pass@1"

    def __init__(
        self,
        root: str | Path,
        tokenizer: str | Path,
        prompt: str = PROMPT,
        max_new_tokens: int = 256,
        batch_size: int = 64,
        limit: int | None = None,
    ):
        for name, value in {"max_new_tokens": max_new_tokens, "batch_size": batch_size}.items():
            if value < 1:
                raise ValueError(f"PassAt1 {name}={value}: give 1 or more")
        self.root, self.tokenizer, self.prompt, self.limit = Path(root), tokenizer, prompt, limit
        self.max_new_tokens, self.batch_size = max_new_tokens, batch_size

    def score_info(self) -> dict[str, Score]:
        return {
            "pass_at_1": Score("pass@1", "%", digits=2),
            "answered": Score("answers with a number", "%", digits=2),
            "answer_loss": Score("answer loss", "nats per token", "lower"),
        }

    def load(self, data: ProbeData) -> None:
        self._encoder = load_tokenizer(self.tokenizer)
        self._problems = read_gsm8k(self.root, self.limit)
        self._pool = Answers(self.root, self.tokenizer, self.prompt, self.limit)

    def run(self, run: ProbeRun) -> Outcome:
        start, model = perf_counter(), run.backbone
        if getattr(model, "reads", None) != "text":
            raise ValueError(f"PassAt1 asks a language model; {model.name} is none")
        training, model = model.training, model.to(run.device).eval()
        try:
            answers = self._answers(model, run.device)
            loss = self._loss(model, run.device)
        finally:
            model.train(training)
        found = [final_number(answer) for answer in answers]
        right = sum(number == problem.number for number, problem in zip(found, self._problems, strict=True))
        count = len(self._problems)
        scores = {
            "pass_at_1": 100 * right / count,
            "answered": 100 * sum(number is not None for number in found) / count,
            "answer_loss": loss,
        }
        card = {
            **run.card(),
            "problems": str(self.root),
            "count": count,
            "prompt": self.prompt,
            "decoding": "greedy",
            "max_new_tokens": self.max_new_tokens,
        }
        return self.outcome(scores, card, start)

    @torch.no_grad()
    def _answers(self, model: CausalLM, device: torch.device) -> list[str]:
        """In the order of the problems."""
        end, answers = end_of_text(self._encoder), [""] * len(self._problems)
        for rows in self._batches():
            asked = torch.stack([_without_padding(self._pool.questions[row]) for row in rows]).to(device)
            settings = dict(max_new_tokens=self.max_new_tokens, do_sample=False, use_cache=True)
            ids = model.lm.generate(
                asked, attention_mask=torch.ones_like(asked), eos_token_id=end, pad_token_id=end, **settings
            )
            for row, said in zip(rows, ids[:, asked.shape[1] :].tolist(), strict=True):
                said = said[: said.index(end)] if end in said else said
                answers[row] = self._encoder.decode(said)
        return answers

    def _batches(self) -> Iterator[list[int]]:
        """Problems whose questions have equally many tokens."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, question in enumerate(self._pool.questions):
            by_length[int((question != PADDING).sum())].append(row)
        for rows in by_length.values():
            for begin in range(0, len(rows), self.batch_size):
                yield rows[begin : begin + self.batch_size]

    @torch.no_grad()
    def _loss(self, model: CausalLM, device: torch.device) -> float:
        """Mean cross-entropy of all reference answers' tokens."""
        total, count = 0.0, 0
        for begin in range(0, len(self._pool), self.batch_size):
            rows = slice(begin, begin + self.batch_size)
            ids, after = joined(self._pool.questions[rows], self._pool.answers[rows])
            ids, after = ids.to(device), after.to(device)
            logits = model.logits(model(ids)).flatten(0, 1)
            total += torch.nn.functional.cross_entropy(
                logits, after.flatten(), ignore_index=IGNORED, reduction="sum"
            ).item()
            count += int((after != IGNORED).sum())
        return total / count


def _without_padding(row: Tensor) -> Tensor:
    return row[row != PADDING]
