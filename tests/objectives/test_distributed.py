"""Two gloo ranks with half of the batch each agree with one process that has all of it."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vssl.objectives import OBJECTIVES
from vssl.objectives.simclr import nt_xent

SCRIPT = Path(__file__).with_name("two_ranks.py")


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(0)
    names = ("first", "second", "v_first", "v_second")
    crops = {"crops": torch.rand(2, 6, 3, 16, 16).double(), "local_crops": torch.rand(1, 6, 3, 16, 16).double()}
    corners = torch.tensor([0.2, 0.1, 0.9, 0.8]).double()
    boxes = {
        name: corners + 0.1 * torch.rand(views, 6, 4).double() for name, views in (("boxes", 2), ("local_boxes", 1))
    }
    maps = {"patch_scores": torch.randn(2, 6, 16).double(), "patch_weights": 0.5 + torch.rand(2, 6, 16).double()}
    return {name: torch.randn(6, 5).double() for name in names} | crops | boxes | maps


@pytest.fixture(scope="module")
def ranks(whole, tmp_path_factory):
    """What the two ranks computed."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.save(whole, folder / "whole.pt")
    root = str(SCRIPT.parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, str(SCRIPT)]
    runs = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for run in runs:
        _, complaint = run.communicate(timeout=120)
        assert run.returncode == 0, complaint
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def interleave(parts):
    """Rows of the two ranks in the order of the whole batch."""
    return torch.stack(parts, dim=1).flatten(0, 1)


@pytest.mark.slow
def test_nt_xent_of_the_ranks_averages_to_that_of_the_whole_batch(ranks, whole):
    expected = nt_xent(whole["first"], whole["second"], 0.2).mean()
    assert (ranks[0]["loss"] + ranks[1]["loss"]).item() / 2 == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.slow
def test_nt_xent_gradient_crosses_ranks(ranks, whole):
    """Averaged over ranks, as DDP does: a row's gradient on its rank is that of the *sum* of the ranks' losses."""
    views = [whole[name].clone().requires_grad_() for name in ("first", "second")]
    expected = torch.autograd.grad(nt_xent(*views, 0.2).mean(), views)
    for view in range(2):
        got = interleave([rank["gradient"][view] for rank in ranks]) / 2
        torch.testing.assert_close(got, expected[view], rtol=1e-10, atol=1e-13)


def test_nt_xent_second_derivative_crosses_ranks(ranks, whole):
    """What double backward through the gathered loss needs: d⟨v, ∇L⟩ over all rows."""
    views = [whole[name].clone().requires_grad_() for name in ("first", "second")]
    gradient = torch.autograd.grad(nt_xent(*views, 0.2).mean(), views, create_graph=True)
    along = sum((g * whole[v]).sum() for g, v in zip(gradient, ("v_first", "v_second"), strict=True))
    expected = torch.autograd.grad(along, views)
    for view in range(2):
        got = interleave([rank["second_derivative"][view] for rank in ranks]) / 2
        torch.testing.assert_close(got, expected[view], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_a_step_of_two_ranks_is_that_of_the_whole_batch(ranks, whole, name):
    """Loss and gradient averaged as DDP does, and what the objective keeps (centres)."""
    spec = importlib.util.spec_from_file_location("two_ranks", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    expected = script.one_step(name, whole)
    for rank in ranks:
        torch.testing.assert_close(rank["steps"][name], expected, rtol=1e-9, atol=1e-12)
    assert any(g.abs().max() > 1e-6 for g in expected["gradient"])
