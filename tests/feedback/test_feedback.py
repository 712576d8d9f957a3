import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.feedback.feedback import patch_grid
from vssl.feedback.pool import ShuffledLabels


class Labeled(Dataset):
    """Random 16-px images; the label's value is the image's number, so that a pair can be recognised."""

    def __init__(self, kind: str, count: int = 12):
        self.kind, self.count = kind, count

    def __len__(self):
        return self.count

    def __getitem__(self, key):
        index, _ = key
        image = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        if self.kind == "segmentation":
            return image, torch.full((16, 16), index % 3)
        return image, torch.full((16, 16), 1.0 + index)


def make_feedback(**settings) -> Feedback:
    torch.manual_seed(1)
    tasks = {"segmentation": Segmentation(32, 3), "depth": Depth(32, max_depth=20.0)}
    pools = {name: Pool(Labeled(name), 8, 4, batch_size=4, meta_batch_size=4, seed=0) for name in tasks}
    return Feedback(tasks, pools, **{"first_head_steps": 2, **settings})


def test_fitting_heads_leaves_the_backbone_alone(backbone):
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    feedback = make_feedback()
    heads = [p.clone() for p in feedback.tasks.parameters()]
    losses = feedback.fit_heads(backbone)
    assert set(losses) == {"feedback_head_loss/segmentation", "feedback_head_loss/depth"}
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
    assert any(not torch.equal(a, b) for a, b in zip(heads, feedback.tasks.parameters(), strict=True))
    assert backbone.training, "the backbone's mode is restored"


def test_gradients_are_those_of_the_whole_network_over_s(backbone):
    feedback = make_feedback()
    gradients, losses = feedback.gradients(backbone, step=0)
    again = make_feedback()
    again.tasks.eval(), backbone.eval()
    for name, task in again.tasks.items():
        images, labels = again.pools[name].meta.next()
        loss = task.loss(patch_grid(backbone, images, backbone.trunk(images)), labels)
        expected = torch.autograd.grad(loss, list(backbone.aligned_parameters().values()))
        torch.testing.assert_close(losses[f"feedback_loss/{name}"], loss.detach())
        for ours, reference in zip(gradients[name], expected, strict=True):
            torch.testing.assert_close(ours, reference, atol=1e-7, rtol=1e-4)
            assert not ours.requires_grad


def test_several_meta_batches_are_averaged(backbone):
    one, two = make_feedback(), make_feedback(meta_batches=2)
    first, _ = one.gradients(backbone, 0)
    second, _ = one.gradients(backbone, 1)
    both, _ = two.gradients(backbone, 0)
    for a, b, mean in zip(first["depth"], second["depth"], both["depth"], strict=True):
        torch.testing.assert_close((a + b) / 2, mean, atol=1e-7, rtol=1e-4)


def test_negated_feedback_is_the_opposite_gradient(backbone):
    true, _ = make_feedback().gradients(backbone, 0)
    negated, _ = make_feedback(control="negated").gradients(backbone, 0)
    assert all(torch.equal(a, -b) for a, b in zip(true["depth"], negated["depth"], strict=True))


def test_random_feedback_has_the_true_norm_and_another_direction_each_step(backbone):
    def flat(gradient):
        return torch.cat([g.flatten() for g in gradient])

    true = flat(make_feedback().gradients(backbone, 0)[0]["depth"])
    random = make_feedback(control="random")
    first, second = (flat(random.gradients(backbone, step)[0]["depth"]) for step in (0, 0))
    other = flat(make_feedback(control="random").gradients(backbone, 5)[0]["depth"])
    torch.testing.assert_close(first.norm(), true.norm())
    assert abs(torch.cosine_similarity(first, true, dim=0)) < 0.05
    torch.testing.assert_close(torch.cosine_similarity(first, second, dim=0), torch.tensor(1.0))
    assert abs(torch.cosine_similarity(first, other, dim=0)) < 0.05


def test_shuffled_labels_give_every_image_the_label_of_another():
    plain, shuffled = Labeled("depth"), ShuffledLabels(Labeled("depth"), seed=0)
    for index in range(len(plain)):
        image, depth = shuffled[index, 0]
        assert torch.equal(image, plain[index, 0][0])
        assert depth[0, 0] != plain[index, 0][1][0, 0]
    assert {float(shuffled[i, 0][1][0, 0]) for i in range(12)} == {1.0 + i for i in range(12)}


def test_train_and_meta_parts_are_disjoint():
    pool = Pool(Labeled("depth"), 8, 4, batch_size=8, meta_batch_size=4, seed=3)
    train, meta = (set(stream.next()[1][:, 0, 0].tolist()) for stream in (pool.train, pool.meta))
    assert len(train) == 8 and len(meta) == 4 and not train & meta


def test_state_restores_heads_optimizer_and_positions(backbone):
    whole = make_feedback()
    for _ in range(3):
        whole.fit_heads(backbone)
    part, resumed = make_feedback(), make_feedback()
    part.fit_heads(backbone)
    resumed.load_state_dict(part.state_dict())
    resumed.load_extra_state(part.extra_state())
    for _ in range(2):
        resumed.fit_heads(backbone)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match="control 'inverted' is unknown"):
        make_feedback(control="inverted")
    with pytest.raises(ValueError, match="no tasks"):
        Feedback(nn.ModuleDict(), {})


def test_by_ridge_no_head_is_fitted_and_g_down_is_the_gradient_of_the_solved_loss(backbone):
    feedback, again = (make_feedback(evaluator="ridge", head_steps=2) for _ in range(2))
    with pytest.raises(RuntimeError, match="call fit_heads first"):
        feedback.gradients(backbone, step=0)
    heads = {name: value.clone() for name, value in feedback.tasks.state_dict().items()}
    feedback, again = (make_feedback(evaluator="ridge", head_steps=2) for _ in range(2))
    assert feedback.fit_heads(backbone) == {} == again.fit_heads(backbone)
    gradients, losses = feedback.gradients(backbone, step=0)
    assert all(torch.equal(heads[name], value) for name, value in feedback.tasks.state_dict().items())
    backbone.eval()
    batch, parameters = again.pools["depth"].meta.next(), list(backbone.aligned_parameters().values())
    assert float(losses["feedback_loss/depth"]) == pytest.approx(float(again.loss(backbone, "depth", *batch).detach()))
    length, step = torch.stack([g.norm() for g in gradients["depth"]]).norm(), 1e-3
    drops = []
    with torch.no_grad():
        for distance in (step, -2 * step, step):  # ahead, behind, back again
            for p, g in zip(parameters, gradients["depth"], strict=True):
                p.add_(g, alpha=float(distance / length))
            drops.append(float(again.loss(backbone, "depth", *batch)))
    assert (drops[0] - drops[1]) / (2 * step) == pytest.approx(float(length), rel=0.02)


def test_after_a_resume_the_ridge_head_is_solved_on_the_same_images(backbone):
    """The one-step probe asks for losses before the next meta step draws new ones."""
    part, resumed = (make_feedback(evaluator="ridge", head_steps=2) for _ in range(2))
    for _ in range(2):
        part.fit_heads(backbone)
    resumed.load_extra_state(part.extra_state())
    batch = part.pools["depth"].meta.next()
    with torch.no_grad():
        assert torch.equal(resumed.loss(backbone, "depth", *batch), part.loss(backbone, "depth", *batch))
    one, other = (feedback.pools["depth"].train.next() for feedback in (part, resumed))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_more_updates_on_a_batch_fit_heads_further(backbone):
    few, many = make_feedback(head_lr=1e-2), make_feedback(head_lr=1e-2, head_updates=20)
    loss = {feedback: feedback.fit_heads(backbone)["feedback_head_loss/depth"] for feedback in (few, many)}
    assert loss[many] < loss[few] and few.fitted_steps == many.fitted_steps


def test_impossible_evaluators_are_refused():
    with pytest.raises(ValueError, match="evaluator 'svm' is unknown"):
        make_feedback(evaluator="svm")
    with pytest.raises(ValueError, match="head_updates=0"):
        make_feedback(head_updates=0)


def test_tasks_are_in_the_order_of_their_names():
    assert list(make_feedback().tasks) == ["depth", "segmentation"]
