import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmseg.datasets.transforms import PhotoMetricDistortion

from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.runner_fit import ScheduledBatches, SeededDraws, fit_runner, load_checkpoint
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.fit import Schedule
from vssl.probes.outcome import ProbeRun


@pytest.fixture
def augmented(segmentation):
    """A probe's arguments with every kind of randomness: batches, augmentation, dropout; a schedule with memory."""
    segmentation["train"]["pipeline"][2:2] = [dict(type=RandomFlip, prob=0.5), dict(type=PhotoMetricDistortion)]
    segmentation["schedule"].update(steps=9, batch_size=5, warmup_steps=2)
    return dict(segmentation, path="runner", head=dict(dropout_ratio=0.3))


def fit(settings, backbone, seed=0, steps=None, **options) -> dict[str, torch.Tensor]:
    """The head's weights after a fit, optionally stopped after so many `steps` of its schedule."""
    probe = SegmentationProbe(**settings)
    train, _ = probe.load(ProbeData())
    model = probe.build(backbone, train, seed)
    dataset = train.dataset if steps is None else Failing(train.dataset, 5 * steps)
    fit_runner(model, dataset, probe.schedule, seed, **options)
    return {name: value.clone() for name, value in model.decode_head.state_dict().items()}


class Failing:
    """A dataset that is cut off after so many images: as if the process had been killed."""

    def __init__(self, dataset, images: int):
        self.dataset, self.left, self.metainfo = dataset, images, dataset.metainfo

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.dataset[index]


def equal(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_an_interrupted_fit_resumes_to_the_head_of_an_uninterrupted_one(augmented, backbone, tmp_path):
    through = fit(augmented, backbone)
    options = dict(checkpoint=tmp_path / "new/c.pth", interval=2)
    with pytest.raises(KeyboardInterrupt):
        fit(augmented, backbone, steps=7, **options)
    assert load_checkpoint(options["checkpoint"])["step"] == 6  # `weights_only`: tensors and plain values
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["c.pth"]
    torch.manual_seed(123)
    assert equal(fit(augmented, backbone, resume=True, **options), through)
    assert equal(fit(augmented, backbone, **options), through)  # without resume: from the start
    assert not equal(fit(augmented, backbone, seed=1), through)


@pytest.mark.slow
def test_a_fit_does_not_depend_on_the_number_of_workers(augmented, backbone):
    assert equal(fit(augmented, backbone), fit(augmented, backbone, num_workers=2))


def test_mmengines_own_checkpoint_would_not_load_with_weights_only(tmp_path):
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("trap")
    hub.update_scalar("train/loss", 1.0)
    torch.save({"message_hub": hub.state_dict()}, tmp_path / "theirs.pth")
    with pytest.raises(Exception, match="Weights only load failed"):  # why it is not part of ours
        torch.load(tmp_path / "theirs.pth", weights_only=True)
    with pytest.raises(ValueError, match=r"theirs\.pth cannot be read"):
        load_checkpoint(tmp_path / "theirs.pth")


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "text", "other"])
def test_a_checkpoint_that_is_none_is_refused_by_name(damage, augmented, backbone, tmp_path):
    path = tmp_path / "c.pth"
    augmented["schedule"].update(steps=2, warmup_steps=0)
    fit(augmented, backbone, checkpoint=path, interval=1)
    if damage == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes(path.read_bytes()[:-99] if damage == "truncated" else b"notes")
    with pytest.raises(ValueError, match=r"c\.pth"):
        fit(augmented, backbone, checkpoint=path, resume=True)


@pytest.mark.slow
def test_a_checkpoint_of_another_head_is_refused(augmented, backbone, tmp_path):
    augmented["schedule"].update(steps=2, warmup_steps=0)
    fit(augmented, backbone, checkpoint=tmp_path / "c.pth", interval=1)
    other = {**augmented, "head": dict(hidden=(4,))}
    with pytest.raises(ValueError, match="does not fit its head"):
        fit(other, backbone, checkpoint=tmp_path / "c.pth", resume=True)


def test_draws_start_where_a_fit_stopped_and_seed_the_augmentation():
    schedule = Schedule(steps=6, batch_size=4)
    every = list(ScheduledBatches(schedule, 10, seed=0))
    assert (
        list(ScheduledBatches(schedule, 10, seed=0, start=4)) == every[4:]
        and len(ScheduledBatches(schedule, 10, 0, 4)) == 2
    )
    assert [draw for batch in every for _, draw in batch] == list(range(24))

    class Noise:
        metainfo = None

        def __getitem__(self, index):
            return np.random.rand()

    a, b = SeededDraws(Noise(), 0), SeededDraws(Noise(), 1)
    assert a[3, 7] == a[5, 7] != a[3, 8] and a[3, 7] != b[3, 7]


@pytest.mark.slow
def test_divergence_is_an_error(augmented, backbone):
    augmented["schedule"]["optimizer"] = dict(type=torch.optim.SGD, lr=1e38)
    with pytest.raises(FloatingPointError, match="lower its learning rate"):
        fit(augmented, backbone, interval=1)


@pytest.mark.slow
def test_mini_batches_without_augmentation_score_as_on_cached_features(segmentation, backbone):
    segmentation["schedule"].update(steps=15, batch_size=5)
    scores = [
        SegmentationProbe(**segmentation, path=path).run(ProbeRun(backbone, ProbeData(), 0, torch.device("cpu")))
        for path in ("cached", "runner")
    ]
    assert scores[0].result["scores"] == pytest.approx(scores[1].result["scores"], rel=1e-4)
