import pytest
import torch

from vssl.designers import Choice, GlobalPolicy, UNetMask
from vssl.draws import Draws
from vssl.sourced_images import SourcedImages
from vssl.views.recipes import MultiCrop

PLAIN = dict(type=MultiCrop, global_size=16, jitter=None, grayscale=0.0, blur=None)


def recipe() -> MultiCrop:
    return MultiCrop(16, n_global=2)


def images() -> torch.Tensor:
    return torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))


def choice(**options) -> Choice:
    return Choice(recipe(), options or {"plain": dict(recipe=PLAIN), "weighted": dict(loss_weights={"hog": 1.0})})


def views(made):
    return made.views.global_crops


def test_until_it_is_asked_it_makes_the_recipe():
    made = choice()(images(), Draws(0, "v"))
    assert torch.equal(views(made), recipe()(images(), Draws(0, "v")).global_crops) and made.loss_weights is None


def test_it_takes_what_was_worth_most():
    designer = choice()
    assert designer.begin_search(8) == 2 and designer.names_of_candidates() == ["plain", "weighted"]
    designer.update(torch.tensor([0.2, 0.1]))
    made = designer(images(), Draws(0, "v"))
    plain = MultiCrop(16, jitter=None, grayscale=0.0, blur=None)
    assert torch.equal(views(made), plain(images(), Draws(0, "v")).global_crops)
    assert made.statistics["choice/plain"] == 1 and made.statistics["choice/weighted"] == 0
    designer.update(torch.tensor([0.2, 0.3]))
    made = designer(images(), Draws(0, "v"))
    assert torch.equal(views(made), recipe()(images(), Draws(0, "v")).global_crops)
    assert made.loss_weights == {"hog": 1.0}
    resumed = choice()
    resumed.load_state_dict(designer.state_dict())
    assert resumed(images(), Draws(0, "v")).loss_weights == {"hog": 1.0}


def test_options_may_be_designers_which_stay_as_they_are():
    designer = choice(
        policy=dict(designer=dict(type=GlobalPolicy)), mask=dict(designer=dict(type=UNetMask, width=4)), bare={}
    )
    assert not any(p.requires_grad for p in designer.parameters())
    made = {n: designer.candidate(i, images(), Draws(0, "v")) for i, n in enumerate(designer.names_of_candidates())}
    assert torch.equal(views(made["policy"]), views(made["bare"])) and made["mask"].mask is not None


def test_shares_of_sources_are_weights_until_the_stream_follows():
    designer = choice(own=dict(shares=dict(web=1.0, own=3.0)), web=dict(shares=dict(own=1.0, web=3.0)))
    sourced = SourcedImages.of(images(), torch.tensor([0, 1, 1, 0]), dict(own=0.5, web=0.5))
    assert designer.stream_shares() is None and designer(sourced, Draws(0, "v")).image_weights is None
    assert designer.candidate(0, sourced, Draws(0, "v")).image_weights.tolist() == [1.5, 0.5, 0.5, 1.5]
    designer.update(torch.tensor([0.0, 1.0]))
    assert designer.stream_shares() == dict(own=0.25, web=0.75)
    follows = SourcedImages.of(images(), torch.tensor([0, 1, 1, 0]), designer.stream_shares())
    assert designer(follows, Draws(0, "v")).image_weights is None
    with pytest.raises(ValueError, match="SimCLRLike has one for the whole batch"):
        designer.check(type("SimCLRLike", (torch.nn.Module,), {"weighs_images": False})())
    with pytest.raises(ValueError, match="Choice: shares of own: these images come from one source"):
        designer.candidate(0, images(), Draws(0, "v"))


def test_misuse_says_what_is_expected():
    with pytest.raises(ValueError, match=r"1 option\(s\), \['one'\]"):
        choice(one={})
    with pytest.raises(ValueError, match=r"option 'a': unknown key 'weights' .did you mean 'loss_weights'"):
        choice(a=dict(weights={}), b={})
    with pytest.raises(ValueError, match="needs type=a Recipe"):
        choice(a=dict(recipe=dict(type=UNetMask)), b={})
    with pytest.raises(ValueError, match=r"shares of 'b' are None; give every option .* each of \['x', 'y'\]"):
        choice(a=dict(shares=dict(x=1.0, y=1.0)), b={})
    with pytest.raises(ValueError, match="3 values for 2 options"):
        choice().update(torch.zeros(3))
