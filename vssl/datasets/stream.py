"""Endless, resumable batches: the unlabeled stream and the labeled pools."""

from collections.abc import Iterator, Sequence

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


class Stream:
    """Batches of a dataset for ever, in an order that depends on the seed alone.

    Where it stands is one number, `position`: how many images all ranks together have taken. Loading it into a new
    `Stream` continues with exactly the batch that would have come next, whatever the workers had prefetched.

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
        self._batches: Iterator | None = None

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
        if isinstance(self.dataset, UnlabeledMixture):
            images, sources = batch
            return (SourcedImages.of(images, sources, self.dataset.shares),)
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position, self._batches = state["position"], None

    def _loader(self) -> DataLoader:
        place = dict(seed=self.seed, rank=self.rank, world_size=self.world_size, start=self.position)
        if hasattr(self.dataset, "in_order"):
            dataset, sampler = self.dataset.in_order(**place)
        else:
            mixed = isinstance(self.dataset, UnlabeledMixture)
            dataset = Numbered(self.dataset) if mixed else self.dataset
            sampler = PositionSampler(len(self.dataset), **place)
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
