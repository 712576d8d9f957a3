"""`views` and `ops`, in small, and that what they compare is the same work."""

import argparse

import pytest
import torch

from vssl.benchmarks.ten_ops import PHASES, TEN_OPS, pipeline, policy
from vssl.views.space import SPACE

SMALL = ["--batch", "3", "--size", "16", "--repeats", "2"]


def test_views_compares_every_phase_with_kornia(benchmark, capsys):
    result = benchmark("views", "--source-size", "20", *SMALL)
    assert [row["phase"] for row in result["rows"]] == list(PHASES)
    for row in result["rows"]:
        assert 0 < row["policy_ms"][0] <= row["policy_ms"][1] <= row["policy_ms"][2]
        assert 0 < row["ratio"][0] <= row["ratio"][2] and row["processor_ratio"][1] > 0
    assert result["settings"]["threads"] == 1
    table = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert table == ["phase", *PHASES]


def test_ops_times_every_op_of_the_space(benchmark):
    rows = benchmark("ops", *SMALL)["rows"]
    assert [row["op"] for row in rows] == [op.name for op in SPACE]
    assert all(row[phase][1] > 0 for row in rows for phase in PHASES)


@pytest.mark.parametrize("ops, augmentation", TEN_OPS, ids=lambda entry: type(entry).__name__)
def test_policy_and_kornia_do_the_same(ops, augmentation):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = images, augmentation(images)
    for op, magnitude in ops:
        ours = op(ours, torch.full((2,), magnitude))
    # kornia lets black in at the border, the policy reflects; and RandomGamma holds no line below 1e-3.
    assert (ours - theirs)[:, :, 12:20, 12:20].abs().max() < 1e-3


def test_both_make_views_of_ten_ops_with_a_gradient_to_the_images():
    arguments = argparse.Namespace(seed=0, size=16, device=torch.device("cpu"))
    assert sum(len(ops) for ops, _ in TEN_OPS) == 10
    images = torch.rand(2, 3, 20, 20, requires_grad=True)
    for make in (policy(arguments), pipeline(arguments)):
        out = make(images)
        assert out.shape[-4:] == (2, 3, 16, 16)
        (gradient,) = torch.autograd.grad(out.sum(), images)
        assert (gradient != 0).any()
