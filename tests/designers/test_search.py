import pytest
import torch

from vssl.designers import CandidateSearch
from vssl.draws import Draws
from vssl.views.ops.relaxed import EQUALIZE
from vssl.views.recipes import MultiCrop
from vssl.views.view_plan import GatedOp


def recipe() -> MultiCrop:
    return MultiCrop(16, n_global=2, blur=None, extra=(GatedOp(EQUALIZE, 1, 1, 0.5),))


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 20, 20, generator=torch.Generator().manual_seed(0))


def propose(search: CandidateSearch, images, draws, n: int):
    """n candidates' constructions, all with the random numbers of `draws()`."""
    return [search.candidate(number, images, draws()) for number in range(search.begin_search(n))]


def bare() -> MultiCrop:
    """The same draws with every colour op's gate closed."""
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "p": 0.0}
    return MultiCrop(16, jitter=jitter, grayscale=0.0, blur=None, extra=(GatedOp(EQUALIZE, 1, 1, 0.0),))


def colour_kept(designer: CandidateSearch, step: int) -> torch.Tensor:
    """A value without gradient: minus the squared change of colour against plain crops."""
    plain = bare()(images(), Draws(0, "v", step)).global_crops
    candidates = propose(designer, images(), lambda: Draws(0, "v", step), 6)
    return torch.stack([-(c.views.global_crops - plain).square().mean() for c in candidates])


def test_candidates_differ_by_their_choices_alone():
    search = CandidateSearch(recipe(), strengths=(1.0,))
    made = propose(search, images(), lambda: Draws(0, "v"), 3)
    base = recipe()(images(), Draws(0, "v")).global_crops
    assert all(torch.equal(c.views.global_crops, base) for c in made)
    assert not any(c.views.global_crops.requires_grad for c in made)
    varied = propose(CandidateSearch(recipe()), images(), lambda: Draws(0, "v"), 3)
    assert not torch.equal(varied[0].views.global_crops, varied[1].views.global_crops)


def test_strength_zero_closes_an_op():
    search = CandidateSearch(recipe(), strengths=(0.0, 1.0), keep_best=True)
    search.best[[i for i, name in enumerate(search.names) if name not in ("log_ratio", "x", "y", "area")]] = 0
    made = search(images(), Draws(0, "v")).views.global_crops
    assert torch.equal(made, bare()(images(), Draws(0, "v")).global_crops)


@pytest.mark.slow
def test_the_search_finds_a_direction_that_has_no_gradient():
    search = CandidateSearch(recipe(), learning_rate=0.5)
    before = search.expected_strengths()
    for step in range(25):
        search.update(colour_kept(search, step))
    after = search.expected_strengths()
    assert before["equalize"] == pytest.approx(1.0)
    assert after["equalize"] < 0.8 and after["brightness"] < 1.0
    search_negated = CandidateSearch(recipe(), learning_rate=0.5)
    for step in range(25):
        search_negated.update(-colour_kept(search_negated, step))
    assert search_negated.expected_strengths()["equalize"] > 1.1


def test_the_best_candidate_is_kept():
    search = CandidateSearch(recipe(), keep_best=True)
    assert torch.equal(
        search(images(), Draws(0, "v")).views.global_crops, recipe()(images(), Draws(0, "v")).global_crops
    )
    candidates = propose(search, images(), lambda: Draws(0, "v"), 4)
    search.update(torch.tensor([0.1, 0.3, 0.9, 0.2]))
    assert torch.equal(search(images(), Draws(0, "v")).views.global_crops, candidates[2].views.global_crops)


def test_the_step_is_the_score_function_estimate():
    search = CandidateSearch(recipe(), strengths=(0.0, 1.0), learning_rate=0.7)
    propose(search, images(), lambda: Draws(0, "v"), 3)
    choices = search._proposed.clone()
    values = torch.tensor([1.0, 2.0, 6.0])
    search.update(values)
    baseline = torch.tensor([(2 + 6) / 2, (1 + 6) / 2, (1 + 2) / 2])
    score = torch.nn.functional.one_hot(choices, 2).float() - 0.5
    expected = 0.7 * (((values - baseline) / values.std()).view(3, 1, 1) * score).mean(0)
    assert torch.allclose(search.logits, expected, atol=1e-5)


def test_ranks_propose_the_same_choices_and_a_resumed_search_goes_on():
    first, second = CandidateSearch(recipe()), CandidateSearch(recipe())
    propose(first, images(), lambda: Draws(0, "v", rank=0, world_size=2), 3)
    propose(second, images(), lambda: Draws(0, "v", rank=1, world_size=2), 3)
    assert torch.equal(first._proposed, second._proposed)
    first.update(torch.tensor([1.0, 2.0, 3.0]))
    resumed = CandidateSearch(recipe())
    resumed.load_state_dict(first.state_dict())
    a, b = (propose(s, images(), lambda: Draws(0, "v", 1), 3) for s in (first, resumed))
    assert all(torch.equal(x.views.global_crops, y.views.global_crops) for x, y in zip(a, b, strict=True))


def test_misuse_says_what_is_expected():
    search = CandidateSearch(recipe())
    with pytest.raises(ValueError, match="update got 2 values; it needs a call of begin_search first"):
        search.update(torch.zeros(2))
    with pytest.raises(ValueError, match="at least two candidates"):
        propose(search, images(), lambda: Draws(0, "v"), 1)
    propose(search, images(), lambda: Draws(0, "v"), 3)
    with pytest.raises(ValueError, match="update got 2 values; it needs 3 values"):
        search.update(torch.zeros(2))
    with pytest.raises(ValueError, match="must be finite"):
        search.update(torch.tensor([0.0, float("nan"), 1.0]))
    with pytest.raises(ValueError, match="include 1"):
        CandidateSearch(recipe(), strengths=(0.5, 2.0))
    with pytest.raises(ValueError, match="learning_rate"):
        CandidateSearch(recipe(), learning_rate=0)


def test_only_what_is_asked_for_is_searched():
    search = CandidateSearch(recipe(), learn=("equalize",))
    assert search.names == ["equalize"] and search.logits.shape == (1, 5)
    search.best.fill_(0)
    search.keep_best = True
    closed = MultiCrop(16, blur=None, extra=(GatedOp(EQUALIZE, 1, 1, 0.0),))
    made = search(images(), Draws(0, "v")).views.global_crops
    assert torch.equal(made, closed(images(), Draws(0, "v")).global_crops)
    with pytest.raises(ValueError, match=r"cannot search over \['sepia'\]"):
        CandidateSearch(recipe(), learn=("sepia",))
