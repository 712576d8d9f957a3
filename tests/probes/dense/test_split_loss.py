"""The worked-out losses of whole splits against what they replace: the head, an interpolation and autograd."""

import vssl.probes  # noqa: F401  before mmseg: it makes mmseg importable

# isort: split
import pytest
import torch
from mmseg.models.losses import CrossEntropyLoss
from torch import nn

from vssl.probes.dense.heads import BinDepthHead, LinearDepthHead, LinearSegHead
from vssl.probes.dense.losses import SigLoss, ValidDepthLoss
from vssl.probes.dense.split_loss import split_loss
from vssl.probes.fit import FullBatch

GRID, DIM = (5, 7), 6
L2 = [dict(type=ValidDepthLoss, power=2)]


def features(layers: int = 1, images: int = 9) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    rough = [torch.randn(images, DIM, 3, 3, generator=g) for _ in range(layers)]
    maps = [nn.functional.interpolate(r, GRID, mode="bilinear") for r in rough]
    return [5 + 3 * m + 0.3 * torch.randn(m.shape, generator=g) for m in maps]


def labels(size, classes: int = 4, images: int = 9) -> torch.Tensor:
    """Classes that the first features tell in part; a fifth of the pixels and one whole image ignored."""
    g = torch.Generator().manual_seed(1)
    told = nn.functional.interpolate(features()[0][:, :classes], size, mode="bilinear")
    found = (told + torch.randn(told.shape, generator=g)).argmax(dim=1)
    found[torch.rand(found.shape, generator=g) < 0.2], found[2] = 255, 255
    return found


def depths(size) -> torch.Tensor:
    g = torch.Generator().manual_seed(2)
    told = nn.functional.interpolate(features()[0][:, :1], size, mode="bilinear")[:, 0]
    metres = (2 + 0.4 * told + 0.2 * torch.randn(told.shape, generator=g)).clamp(min=0.1)
    metres[torch.rand(told.shape, generator=g) < 0.2], metres[3] = 0, 255
    return metres


def statistics(head, maps) -> None:
    FullBatch().set_statistics(head, lambda: head.forward(maps))


def autograd(head, maps, targets):
    """The closure of before: convolution and interpolation of the whole split."""
    return lambda: sum(head.loss_on(head.forward(maps), targets).values())


CASES = {
    "enlarged": (LinearSegHead, dict(num_classes=4), 1, (20, 28)),
    "odd factors": (LinearSegHead, dict(num_classes=4), 1, (13, 17)),
    "fewer pixels than tokens": (LinearSegHead, dict(num_classes=4), 1, (3, 4)),
    "as many": (LinearSegHead, dict(num_classes=4), 1, GRID),
    "corners": (LinearSegHead, dict(num_classes=4, align_corners=True), 1, (20, 28)),
    "layers": (LinearSegHead, dict(num_classes=4), 3, (20, 28)),
    "no norm": (LinearSegHead, dict(num_classes=4, norm_cfg=dict(type=nn.Identity)), 1, (20, 28)),
    "all pixels": (
        LinearSegHead,
        dict(num_classes=4, loss_decode=dict(type=CrossEntropyLoss, loss_weight=2.0)),
        1,
        GRID,
    ),
    "depth": (LinearDepthHead, dict(loss_decode=L2), 1, (20, 28)),
    "depth, odd factors": (LinearDepthHead, dict(loss_decode=L2), 2, (13, 17)),
    "depth, fewer pixels": (LinearDepthHead, dict(loss_decode=L2), 1, (3, 4)),
    "depth, corners, weight": (
        LinearDepthHead,
        dict(loss_decode=[dict(type=ValidDepthLoss, power=2, weight=3.0)], align_corners=True),
        1,
        (20, 28),
    ),
}


def problem(case: str, seed: int = 0, init_std: float = 0.5):
    kind, settings, layers, size = CASES[case]
    torch.manual_seed(seed)
    maps = features(layers)
    head = kind(in_channels=DIM, num_layers=layers, init_std=init_std, **settings)
    statistics(head, maps)
    return head, maps, labels(size) if kind is LinearSegHead else depths(size)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunk", [1, 2**19])  # an image at a time, all at once
def test_value_and_gradients_are_those_of_autograd(case, chunk, monkeypatch):
    monkeypatch.setattr("vssl.probes.dense.split_loss.CHUNK", {"cpu": chunk})
    head, maps, targets = problem(case)
    found = []
    for loss in (autograd(head, maps, targets), split_loss(head, maps, targets)):
        head.zero_grad()
        value = loss()
        value.backward()
        found.append((value.detach(), *(p.grad.clone() for p in head.parameters())))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", ["odd factors", "layers", "depth"])
def test_the_solution_is_that_of_the_closure_of_before(case):
    solved = []
    for worked_out in (False, True):
        head, maps, targets = problem(case, init_std=0.0)
        loss = split_loss(head, maps, targets) if worked_out else autograd(head, maps, targets)
        value = FullBatch(iterations=200).minimise(head, loss)
        with torch.no_grad():
            solved.append((torch.tensor(value), head.forward(maps)))
    torch.testing.assert_close(solved[1][0], solved[0][0], rtol=1e-5, atol=0)
    torch.testing.assert_close(solved[1][1], solved[0][1], rtol=5e-3, atol=5e-3)


def test_threads_share_the_chunks_and_change_nothing(monkeypatch):
    monkeypatch.setattr("vssl.probes.dense.split_loss.CHUNK", {"cpu": 1})
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            head, maps, targets = problem("odd factors")
            value = split_loss(head, maps, targets)()
            value.backward()
            found.append((value.detach(), *(p.grad for p in head.parameters())))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, three) for one, three in zip(*found, strict=True))


def test_no_valid_pixel_costs_nothing():
    for case in ("enlarged", "depth"):
        head, maps, targets = problem(case)
        nothing = torch.full_like(targets, 255)
        assert split_loss(head, maps, nothing)() == autograd(head, maps, nothing)() == 0


@pytest.mark.parametrize(
    "head",
    [
        lambda: LinearSegHead(DIM, 4, norm_cfg=dict(type="BN")),  # its norm learns too
        lambda: LinearSegHead(DIM, 4, upsample=2),
        lambda: LinearSegHead(DIM, 4, loss_decode=dict(type=CrossEntropyLoss, class_weight=[1.0, 2.0, 1.0, 1.0])),
        lambda: LinearDepthHead(DIM),  # L1
        lambda: LinearDepthHead(DIM, loss_decode=[*L2, dict(type=SigLoss)]),
        lambda: BinDepthHead(DIM, loss_decode=L2),
        lambda: nn.Linear(DIM, 4),
    ],
)
def test_other_heads_and_losses_have_none(head):
    assert split_loss(head(), features(), labels((20, 28))) is None
