"""Endless, resumable batches: the unlabeled stream and the labeled pools."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from vssl.datasets.mixture import Numbered, UnlabeledMixture
from vssl.datasets.sampler import PositionSampler
from vssl.sourced_images import SourcedImages


def on_device(entry: Tensor, device: torch.device | str) -> Tensor:
    """What a data set gives, as the training code takes it: uint8 images in [0, 1], anything else as it is."""
    entry = entry.to(device, non_blocking=True)
    return entry.float() / 255 if entry.dtype == torch.uint8 else entry


def images_of(dataset: Dataset, indices: Sequence[int], device: torch.device | str) -> Tensor:
    """Images of the unlabeled set as the training code takes them; of a mixture with their sources."""
    images = on_device(torch.stack([dataset[index, 0] for index in indices]), device)
    if not isinstance(dataset, UnlabeledMixture):
        return images
    sources = torch.tensor([dataset.number_of((index, 0)) for index in indices], device=device)
    return SourcedImages.of(images, sources, dataset.shares)


class _Deal(NamedTuple):
    """In which shares a mixture has come since `begun`.

    Args:
        taken: by source, how many of its images came before.
        begun: the stream's position then.
    """

    shares: Mapping[str, float]
    taken: Mapping[str, int]
    begun: int

    def seed(self, of_stream: int) -> int:
        """Another one for each beginning, so that rollouts from nearby positions do not get the same images."""
        return int(np.random.SeedSequence((of_stream, self.begun)).generate_state(1)[0])


class Stream:
    """Batches of a dataset for ever, in an order that depends on the seed alone.

    Where it stands is one number, `position`: how many images all ranks together have taken. Loading it into a new
    `Stream` continues with exactly the batch that would have come next, whatever the workers had prefetched. A mixture
    can be dealt in other shares on the way (`deal`).

    Args:
        dataset: indexed by (index, position), see `PositionSampler`. One with `in_order` brings an order of its own
            (`RemoteShards`).
        batch_size: images per batch on this rank.
        device: where batches are put; uint8 images become float32 in [0, 1] there.
        num_workers: decoding processes; 0 decodes in this process.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.rank, self.world_size, self.num_workers, self.device = rank, world_size, num_workers, torch.device(device)
        self.position = 0
        self._batches: Iterator | None
        self._follow(None)

    def next(self) -> tuple[Tensor, ...]:
        """The next batch, a tuple whose first entry is the images (batch, 3, H, W) in [0, 1].

        Of a mixture they are `SourcedImages`.
        """
        if self._batches is None:
            self._batches = iter(self._loader())
        batch = next(self._batches)
        self.position += self.batch_size * self.world_size
        batch = batch if isinstance(batch, (list, tuple)) else (batch,)
        batch = tuple(on_device(entry, self.device) for entry in batch)
        if isinstance(self._drawn_from, UnlabeledMixture):
            images, sources = batch
            return (SourcedImages.of(images, sources, self._drawn_from.shares),)
        return batch

    def deal(self, shares: Mapping[str, float]) -> None:
        """From the next batch on, the sources of a mixture come in these shares. `dataset` stays as it is.

        Each source goes on after the images of the epoch at hand, those that it has left included. So images come again
        early where a source has all of its images in an epoch. The loader begins anew, with what its workers cost.

        Raises:
            TypeError: the images come from one source.
        """
        if not isinstance(self._drawn_from, UnlabeledMixture):
            raise TypeError("the images of this stream come from one source; shares are of an UnlabeledMixture")
        begun = 0 if self._deal is None else self._deal.begun
        taken = self._drawn_from.taken(self.position - begun)
        self._follow(_Deal(dict(shares), taken, self.position))

    def ahead(self, batches: int = 0, shares: Mapping[str, float] | None = None) -> "Stream":
        """Another stream from where this one will be after so many batches; this one stays where it is.

        Args:
            shares: of the sources of a mixture, other than this one's.
        """
        other = copy.copy(self)
        other.load_state_dict(self.state_dict())
        other.position += batches * self.batch_size * self.world_size
        if shares is not None:
            other.deal(shares)
        return other

    def rest(self) -> None:
        """End the workers; they begin anew with the next batch, which is the same."""
        self._batches = None

    def skip(self, batches: int) -> None:
        """Go on after so many batches, without reading them."""
        if batches:
            self.position += batches * self.batch_size * self.world_size
            self._batches = None

    @property
    def shares(self) -> Mapping[str, float] | None:
        """By name, how much of the stream each source of a mixture is now."""
        return self._drawn_from.shares if isinstance(self._drawn_from, UnlabeledMixture) else None

    def comes_twice(self, images: int) -> str | None:
        """The source of a mixture of which a batch of so many often holds an image twice; None without one."""
        return self._drawn_from.comes_twice(images) if isinstance(self._drawn_from, UnlabeledMixture) else None

    def _follow(self, deal: _Deal | None) -> None:
        self._deal, self._batches = deal, None
        mixture = self.dataset if isinstance(self.dataset, UnlabeledMixture) else None
        self._drawn_from = mixture.dealt(deal.shares, deal.taken) if mixture and deal else self.dataset

    def state_dict(self) -> dict[str, Any]:
        deal = {} if self._deal is None else {"deal": self._deal._asdict()}
        return {"position": self.position, **deal}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position = state["position"]
        self._follow(_Deal(**state["deal"]) if "deal" in state else None)

    def _loader(self) -> DataLoader:
        place = dict(rank=self.rank, world_size=self.world_size)
        if hasattr(self.dataset, "in_order"):
            dataset, sampler = self.dataset.in_order(seed=self.seed, start=self.position, **place)
        else:
            mixture = self._drawn_from
            dataset = Numbered(mixture) if isinstance(mixture, UnlabeledMixture) else mixture
            seed, begun = (self.seed, 0) if self._deal is None else (self._deal.seed(self.seed), self._deal.begun)
            sampler = PositionSampler(len(self.dataset), seed=seed, start=self.position - begun, **place)
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=default_collate,
            pin_memory=self.device.type == "cuda",
            # its own generator: a loader that draws its workers' seed from the global one would change dropout
            generator=torch.Generator().manual_seed(self.seed),
        )
