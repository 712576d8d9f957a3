import torch

from vssl.draws import Draws


def test_the_same_key_gives_the_same_numbers_and_another_key_others():
    first = Draws(0, "views", 3).uniform(4, 2)
    assert torch.equal(first, Draws(0, "views", 3).uniform(4, 2))
    for other in (Draws(1, "views", 3), Draws(0, "masks", 3), Draws(0, "views", 4)):
        assert not torch.equal(first, other.uniform(4, 2))


def test_ranks_share_the_numbers_of_the_whole_batch():
    whole = Draws(0, "views", 3)
    ranks = [Draws(0, "views", 3, rank, world_size=2) for rank in (0, 1)]
    for kind in ("uniform", "normal"):
        rows = getattr(whole, kind)(6, 2)
        for rank, draws in enumerate(ranks):
            assert torch.equal(getattr(draws, kind)(3, 2), rows[rank::2])


def test_distributions():
    draws = Draws(0, "test")
    uniform = draws.uniform(20000, low=-1.0, high=3.0)
    assert uniform.min() >= -1 and uniform.max() < 3 and abs(uniform.mean() - 1) < 0.05
    assert abs(draws.normal(20000).std() - 1) < 0.02
    permutation = draws.permutation(5, 7)
    assert torch.equal(permutation.sort(dim=1).values, torch.arange(7).expand(5, 7))


def test_stratified_numbers_are_uniform_and_one_lies_in_each_nth_of_the_range():
    numbers = Draws(0, "test").stratified(50, 2)
    assert torch.equal((numbers.flatten() * 100).floor().sort().values, torch.arange(100.0))
    ranks = [Draws(0, "test", rank=rank, world_size=2).stratified(25, 2) for rank in (0, 1)]
    assert all(torch.equal(share, numbers[rank::2]) for rank, share in enumerate(ranks))
    first = torch.stack([Draws(0, "test", step).stratified(4)[0] for step in range(2000)])
    assert abs(first.mean() - 0.5) < 0.02 and abs(first.std() - 12**-0.5) < 0.01


def test_what_is_drawn_for_the_whole_batch_is_the_same_on_all_ranks_and_dealt_as_the_rest():
    ranks = [Draws(0, "test", rank=rank, world_size=2) for rank in (0, 1)]
    wholes = [draws.whole().uniform(6, 2) for draws in ranks]
    assert torch.equal(*wholes) and torch.equal(wholes[0], Draws(0, "test").uniform(6, 2))
    for rank, draws in enumerate(ranks):
        assert torch.equal(draws.share(wholes[0]), wholes[0][rank::2])
    following = Draws(0, "test")
    following.uniform(6, 2)
    assert torch.equal(ranks[0].uniform(3), following.uniform(6)[0::2])  # one stream


def test_numbers_on_another_device_go_on_with_the_same_stream():
    draws, expected = Draws(0, "test"), Draws(0, "test").uniform(4, 2)
    first = draws.on("cpu").uniform(4, 1)
    assert draws.on("meta").uniform(1).device.type == "meta" and draws.device.type == "cpu"
    assert torch.equal(first.flatten(), expected.flatten()[:4])
