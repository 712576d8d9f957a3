"""Feedback from answers: the loss, its gradient over S, controls, and what is refused."""

import re

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from vssl.datasets.text import Answers
from vssl.language import AnswerFeedback, AnswerLoss, AnswerPool
from vssl.language.answer_feedback import IGNORED, joined


def feedback_on(problems, **settings):
    data = Answers(problems / "train.jsonl", problems)
    pool = AnswerPool(data, meta=20, meta_batch_size=5, seed=0, control=settings.get("control"))
    return AnswerFeedback({"answers": AnswerLoss(32)}, {"answers": pool}, **settings)


def test_an_answer_follows_its_question_and_it_alone_counts():
    ids, after = joined(torch.tensor([[1, 2, 3], [4, 5, -1]]), torch.tensor([[7, 8, -1], [9, 10, 11]]))
    assert ids.tolist() == [[1, 2, 3, 7], [4, 5, 9, 10]]
    assert after.tolist() == [[IGNORED, IGNORED, 7, 8], [IGNORED, 9, 10, 11]]


def test_the_loss_is_that_of_each_problem_alone(model, problems):
    feedback = feedback_on(problems)
    questions, answers = feedback.pools["answers"].meta.next()
    total, count = 0.0, 0
    for question, answer in zip(questions, answers, strict=True):
        question, answer = question[question >= 0], answer[answer >= 0]
        ids = torch.cat([question, answer])
        logits = model.lm(input_ids=ids[None]).logits[0, len(question) - 1 : -1]
        total, count = total + F.cross_entropy(logits, answer, reduction="sum"), count + len(answer)
    torch.testing.assert_close(feedback.loss(model, "answers", questions, answers), total / count)


def test_g_down_is_the_gradient_over_s_and_leaves_no_trace(model, problems):
    feedback, again = feedback_on(problems), feedback_on(problems)
    gradients, losses = feedback.gradients(model, step=0)
    batch = again.pools["answers"].meta.next()
    expected = torch.autograd.grad(again.loss(model, "answers", *batch), list(model.aligned_parameters().values()))
    for found, own in zip(gradients["answers"], expected, strict=True):
        torch.testing.assert_close(found, own)
    assert losses.keys() == {"feedback_loss/answers"} and all(p.grad is None for p in model.parameters())


def test_controls_are_those_of_images(model, problems):
    true, _ = feedback_on(problems).gradients(model, 0)
    negated, _ = feedback_on(problems, control="negated").gradients(model, 0)
    random, _ = feedback_on(problems, control="random").gradients(model, 0)
    flat = {
        name: torch.cat([g.flatten() for g in found["answers"]])
        for name, found in {"true": true, "negated": negated, "random": random}.items()
    }
    assert torch.equal(flat["negated"], -flat["true"])
    assert flat["random"].norm().item() == pytest.approx(flat["true"].norm().item(), rel=1e-5)
    assert abs(torch.cosine_similarity(flat["random"], flat["true"], dim=0)) < 0.1
    questions, answers = feedback_on(problems, control="shuffled_labels").pools["answers"].meta.next()
    own = {tuple(q.tolist()): a for q, a in (feedback_on(problems).pools["answers"].dataset[i] for i in range(40))}
    assert not any(torch.equal(own[tuple(q.tolist())], a) for q, a in zip(questions, answers, strict=True))


def test_its_state_continues_exactly(model, problems):
    feedback, other = feedback_on(problems), feedback_on(problems)
    feedback.gradients(model, 0)
    other.load_extra_state(feedback.extra_state())
    for a, b in zip(feedback.pools["answers"].meta.next(), other.pools["answers"].meta.next(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_used_is_named(problems):
    data = Answers(problems / "train.jsonl", problems)
    with pytest.raises(
        ValueError, match=re.escape("meta=41, heldout=0: the file has 40 problems; give 1 to 40 in all")
    ):
        AnswerPool(data, meta=41, meta_batch_size=5, seed=0)
    with pytest.raises(ValueError, match="an answer has no tokens"):
        AnswerLoss(32).check(torch.full((4,), -1), "train.jsonl")
    assert feedback_on(problems).check_pools() == {}
