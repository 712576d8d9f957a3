"""What the designer makes, over training time: a fixed panel of images, the policy's numbers, ∂V/∂parameter.

Everything that a page about the designer needs is written here, so that it can be drawn without the dataset:

``snapshots/panel.npz``    base views of the panel and which images they are
``snapshots/<step>.npz``   designed views and masks of the panel, and the same choices dealt to the wrong images
``snapshots/sweeps.npz``   one image with each magnitude moved through its range
``policy.jsonl``           a line per snapshot: what views are drawn from; ∂V/∂parameter and credit since the one before
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook

from vssl.distributed import rank_and_size
from vssl.draws import Draws
from vssl.engine.checkpoint import same_random_state
from vssl.engine.config import ConfigError
from vssl.engine.designer_parts import matched_random
from vssl.engine.gradient_record import GradientRecord
from vssl.engine.image_worth import record_image_worth
from vssl.engine.mask_analysis import analyse_masks, write_mask_analysis
from vssl.engine.patch_credit import record_patch_credit
from vssl.engine.record_files import append_line, forget_lines_after, pixels, save_arrays
from vssl.engine.record_images import panel_images
from vssl.engine.sweep_strips import sweep_strips

FOLDER, POLICY = "snapshots", "policy.jsonl"


class SnapshotHook(Hook):
    """Snapshots before the first step, at `count` even shares of the budget, and at the end. Not counted in the budget.

    A recipe without a designer has nothing to record, and nothing is written.

    Args:
        count: of snapshots over the budget, 0 for none.
        images: of the panel; they are spread evenly over the unlabeled set.
    """

    priority = "LOW"

    def __init__(self, count: int = 10, images: int = 8):
        if count < 0 or images < 2:
            raise ConfigError(f"snapshots={count} must be 0 or more, snapshot_images={images} at least 2")
        self.count, self.images = count, images
        self.recorded = self.active = False
        self._saved: dict | None = None

    def state_dict(self) -> dict | None:
        """What the next snapshot will say of the gradient so far; None where nothing is recorded."""
        return self.gradients.state_dict() if self.active else None

    def load_state_dict(self, state: dict | None) -> None:
        """Called before the training goes on; a checkpoint of an earlier version has none."""
        self._saved = state

    def before_train(self, runner) -> None:
        loop = runner.train_loop
        learns = loop.designer_update is not None or next(loop.designer.parameters(), None) is not None
        self.recorded = self.count > 0 and learns  # on any rank
        self.active = self.recorded and rank_and_size()[0] == 0
        if not self.active:
            return
        self.work_dir, self.gradients = Path(runner.work_dir), GradientRecord(loop.designer)
        if self._saved is not None:
            self.gradients.load_state_dict(self._saved)
        forget_lines_after(self.work_dir / POLICY, loop.step)
        for path in (self.work_dir / FOLDER).glob("[0-9]*.npz"):
            if int(path.stem) > loop.step:
                path.unlink()
        self.next = self._share(loop) + 1
        with undisturbed(loop):
            self.panel, names = panel_images(loop, self.images)
            self._write_start(loop, names)
        if loop.step == 0:
            self._take(loop)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        loop = runner.train_loop
        if not self.active:
            return
        if loop.designer_update is not None and loop.designer_update.due(loop.step - 1):
            self.gradients.add(loop.designer_update.credit)
        if self._share(loop) >= self.next:
            self.next = self._share(loop) + 1
            self._take(loop)

    def after_train(self, runner) -> None:
        loop = runner.train_loop
        if self.recorded:
            with undisturbed(loop):
                record_image_worth(loop, Path(runner.work_dir))
                record_patch_credit(loop, Path(runner.work_dir), self.images)
        if not self.active:
            return
        if not self._file(loop).is_file():
            self._take(loop)
        with undisturbed(loop):
            analysis = analyse_masks(loop.designer, loop.designer_update)
            if analysis is not None:
                write_mask_analysis(self.work_dir, analysis | {"step": loop.step})

    def _take(self, loop) -> None:
        with undisturbed(loop), torch.no_grad():
            start = time.perf_counter()
            construction, dealt = (make(self.panel, _draws(loop)) for make in (loop.designer, _dealt(loop)))
            arrays = {"step": np.asarray(loop.step), "seconds": np.asarray(loop.budget.elapsed)}
            for name, made in (("designed", construction), ("matched_random", dealt)):
                if made is not None:
                    arrays[name] = pixels(made.views.global_crops[0])
                if made is not None and made.mask is not None:
                    arrays["mask" if name == "designed" else "matched_random_mask"] = _mask(made)
            described = loop.designer.describe(self.panel)
            # what the snapshot itself cost; the clock of the budget stands still meanwhile
            arrays["cost_seconds"] = np.asarray(time.perf_counter() - start)
            save_arrays(self._file(loop), arrays)
            line = {"step": loop.step, "seconds": loop.budget.elapsed, "designer": type(loop.designer).__name__}
            line |= described | {"gradient": self.gradients.take(), "cost_seconds": time.perf_counter() - start}
            append_line(self.work_dir / POLICY, line)

    def _write_start(self, loop, names: list[str]) -> None:
        base = loop.designer.recipe(self.panel, _draws(loop)).global_crops[0]
        save_arrays(self.work_dir / FOLDER / "panel.npz", {"base": pixels(base), "names": np.array(names)})
        if hasattr(loop.designer.recipe, "plans"):
            strips = sweep_strips(loop.designer.recipe, self.panel[0])
            arrays = {f"values/{name}": values.cpu().numpy() for name, (values, _) in strips.items()}
            arrays |= {f"strip/{name}": pixels(images) for name, (_, images) in strips.items()}
            save_arrays(self.work_dir / FOLDER / "sweeps.npz", arrays)

    def _file(self, loop) -> Path:
        return self.work_dir / FOLDER / f"{loop.step:08d}.npz"

    def _share(self, loop) -> int:
        """How many snapshots are due by now."""
        budget = loop.budget
        if budget.steps is not None:
            return loop.step * self.count // budget.steps
        return int(budget.elapsed / budget.seconds * self.count)


@contextmanager
def undisturbed(loop) -> Iterator[None]:
    """Stops the budget's clock and puts every global random generator back afterwards."""
    with loop.budget.not_counted(), same_random_state():
        yield


def _draws(loop) -> Draws:
    """The same random numbers at every snapshot, and those of the sample views of every other arm."""
    return Draws(0, "sample views", device=loop.device)


def _dealt(loop):
    return lambda images, draws: matched_random(loop.designer, images, draws)


def _mask(construction) -> np.ndarray:
    return (construction.mask[0, :, 0].cpu() * 255).round().byte().numpy()
