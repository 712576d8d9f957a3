"""g_down from every label, in groups that the heads have not seen."""

import copy

import pytest
import torch
from torch.utils.data import Dataset

from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.feedback.folds import FoldPool, dealt, grouped_gradients

COUNT = 24


class Numbered(Dataset):
    """Random 16-px images; the label says which image it is of, so that a pair can be recognised."""

    def __init__(self, kind: str):
        self.kind = kind

    def __len__(self):
        return COUNT

    def __getitem__(self, key):
        index, _ = key
        image = torch.randint(0, 256, (3, 16, 16), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)
        label = torch.full((16, 16), index % 3) if self.kind == "segmentation" else torch.full((16, 16), 1.0 + index)
        return image, label


def make_feedback(**settings) -> Feedback:
    torch.manual_seed(1)
    tasks = {"segmentation": Segmentation(32, 3), "depth": Depth(32, max_depth=40.0)}
    pools = {name: Pool(Numbered(name), 16, 8, batch_size=6, meta_batch_size=4, seed=0) for name in tasks}
    return Feedback(tasks, pools, **{"first_head_steps": 2, **settings})


def numbers(batches):
    return [round(float(label[0, 0]) - 1) for _, labels in batches for label in labels]


def test_every_label_is_in_one_group_and_heads_see_the_others():
    pool = make_feedback().pools["depth"]
    folds = [list(range(fold, COUNT, 3)) for fold in range(3)]
    for number, fold in enumerate(folds):
        part = FoldPool(pool, folds, number, groups=2, control=None)
        assert sorted(index for group in part.groups() for index in numbers(group)) == fold
        assert not set(fold) & set(numbers([part.train.next() for _ in range(4)]))


@pytest.mark.parametrize("evaluator", ["heads", "ridge"])
def test_groups_are_taken_with_the_heads_of_their_fold(backbone, evaluator):
    """By hand for the first fold; with fitted heads, whose loss is a mean, both groups have the mean of the fold."""
    feedback = make_feedback(evaluator=evaluator, head_steps=3)
    found = grouped_gradients(feedback, backbone, folds=3, groups_per_fold=2, seed=5)
    assert {name: len(of_task) for name, of_task in found.items()} == {"segmentation": 6, "depth": 6}
    again = make_feedback(evaluator=evaluator, head_steps=3)
    pools, folds = again.pools, dealt(again.pools["depth"].indices, 3, seed=5)
    again.pools = {name: FoldPool(pool, folds, 0, 2, None) for name, pool in pools.items()}
    again.fit_heads(backbone)
    again.tasks.eval()
    backbone.eval()
    parameters = list(backbone.aligned_parameters().values())
    for name, pool in again.pools.items():
        for batches, group in zip(pool.groups(), found[name][:2], strict=True):
            _, expected = again.gradient_on(backbone, name, batches, parameters)
            torch.testing.assert_close(group, expected, atol=1e-6, rtol=1e-3)
        (batches,) = FoldPool(pools[name], folds, 0, 1, None).groups()
        _, whole = again.gradient_on(backbone, name, batches, parameters)
        if evaluator == "heads":
            mean = [(first + second) / 2 for first, second in zip(*found[name][:2], strict=True)]
            torch.testing.assert_close(mean, whole, atol=1e-6, rtol=1e-3)


def test_the_feedback_is_left_as_it_was(backbone):
    feedback = make_feedback()
    pools, before = feedback.pools, copy.deepcopy((feedback.state_dict(), feedback.extra_state()))
    grouped_gradients(feedback, backbone, folds=2, groups_per_fold=2)
    assert feedback.pools is pools
    assert str(before) == str((feedback.state_dict(), feedback.extra_state()))


def test_shuffled_labels_are_of_other_images():
    pool = make_feedback().pools["depth"]
    part = FoldPool(pool, [list(range(12)), list(range(12, 24))], 0, groups=1, control="shuffled_labels")
    ((images, labels), *_) = part.groups()[0]
    shown = [Numbered("depth")[index, 0][0].float() / 255 for index in numbers([(images, labels)])]
    assert not any(torch.equal(image, own) for image, own in zip(images, shown, strict=True))


def test_too_few_labels_are_refused(backbone):
    with pytest.raises(ValueError, match=r"feedback\.pools\.segmentation: 24 labeled images are too few; 48 or more"):
        grouped_gradients(make_feedback(), backbone, folds=4, groups_per_fold=6)
