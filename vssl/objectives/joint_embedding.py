"""Two-view losses of the library lightly on our backbones: VICReg, VICRegL, Barlow Twins, DCL, LeJEPA and others.

lightly is optional: ``python -m pip install 'vssl[lightly]'``. Nothing of it is imported before an objective is built.
"""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vssl.distributed import alone, total
from vssl.draws import Draws
from vssl.learner.backbone import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import WEIGHTS, Objective, State, pack, unpack
from vssl.objectives.dino_head import full_precision
from vssl.objectives.overlap import common_region, inside, roi_align
from vssl.parts import build_part
from vssl.views.crops import Views

LOSS = {"type": "lightly.loss.VICRegLoss", "gather_distributed": True}
PROJECTOR = {"type": "lightly.models.modules.heads.VICRegProjectionHead"}
DENSE_PROJECTOR = {"type": "lightly.models.modules.heads.VicRegLLocalProjectionHead"}


class JointEmbedding(Objective):
    """Embeddings of an image's views are brought together by a loss that looks at the whole batch.

    What the loss is given follows from the arguments of its ``forward``:

    - two of them, two batches of embeddings (`VICRegLoss`, `BarlowTwinsLoss`, `DCLLoss`, `DCLWLoss`, `NTXentLoss`, …);
    - ``z_views``, a list of batches (`FroSSLLoss`, `EMPSSLLoss`);
    - ``local_proj`` and ``global_proj``, views first (`LeJEPALoss`, `VISRegLoss`). Without local crops the global ones
      are given twice, which leaves the loss's value as it is without;
    - ``global_view_features`` and ``global_view_grids`` (`VICRegLLoss`): embeddings, dense embeddings, and where each
      patch lies in the image.

    Such a loss is one number for the batch: images have no weights in it, and designers that need them are refused.
    A loss that draws random numbers (LeJEPA) gets the same ones on all ranks and in both passes of a difference. A loss
    that remembers earlier batches (a memory bank, TiCo) is refused: `finish` changes nothing.

    With several ranks give the loss ``gather_distributed=True`` where it has that: without, each rank's loss is of its
    own images. Batch norm in projectors is over the images of all ranks, of one view, and has no running statistics.

    lightly's projectors have ReLUs, which `forward_difference` and `central_difference` see as jumps of the gradient
    (docs/value.md); ``projector`` may be any module.

    Args:
        backbone: read for its width only.
        loss: ``dict(type=..., **settings)`` or a module.
        projector: the same; its type is called with the backbone's width first. None for none.
        pool: ``"patch"`` means the mean of the normalised patch tokens, ``"class"`` the class token, ``"dense"`` patch
            features on a grid over what both crops show, each cell a row of the batch. Crops that share nothing are
            compared at their nearest edges: with an area of 1/3 or more, and the usual shapes, all share something.
        cells: side of the grid of ``pool="dense"``.
        dense_projector: of the patches in `VICRegLLoss`.
        n_local_crops: how many local crops the recipe makes, for losses of more than two views.

    Raises:
        ImportError: lightly is not installed.
        ValueError: the loss cannot be given embeddings, remembers batches, or does not suit another setting.
    """

    n_global_crops = 2
    needs_other_images = True
    weighs_images = False
    paper = "VICReg: Bardes et al. 2022, arXiv 2105.04906; the papers of lightly's losses"
    works_on = "mean of patch tokens, class token, or patches where crops overlap"
    couples_images = "the loss is of the whole batch"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {"projector": PROJECTOR | {"hidden_dim": 2 * embed_dim, "output_dim": embed_dim}}

    def __init__(
        self,
        backbone: TimmBackbone,
        loss: Mapping | nn.Module = LOSS,
        projector: Mapping | nn.Module | None = PROJECTOR,
        pool: Literal["class", "patch", "dense"] = "patch",
        cells: int = 7,
        dense_projector: Mapping | nn.Module | None = DENSE_PROJECTOR,
        n_local_crops: int = 0,
    ):
        super().__init__()
        self.loss = build_part(loss, nn.Module, "JointEmbedding: loss")
        self.takes = _what_it_takes(self.loss)
        if pool not in ("class", "patch", "dense"):
            raise ValueError(f"JointEmbedding pool={pool!r}; give 'class', 'patch' or 'dense'")
        if pool == "class" and not backbone.has_class_token:
            raise ValueError(f"JointEmbedding pool='class': {backbone.name} has no class token; give pool='patch'")
        if pool == "dense" and (self.takes != "pair" or cells < 1):
            raise ValueError(
                f"JointEmbedding pool='dense' needs cells={cells} of 1 or more and a loss of two batches, "
                f"{type(self.loss).__name__} takes {self.takes}; for VICRegLLoss the patches are there with every pool"
            )
        if n_local_crops < 0 or (n_local_crops and self.takes == "pair"):
            raise ValueError(
                f"JointEmbedding n_local_crops={n_local_crops}: {type(self.loss).__name__} takes "
                f"{'two views; give 0' if self.takes == 'pair' else '0 or more'}"
            )
        self.pool, self.cells, self.n_local_crops = pool, cells, n_local_crops
        self.projector = _projector(projector, "projector", backbone.embed_dim)
        grids = self.takes == "grids"
        self.dense_projector = _projector(dense_projector, "dense_projector", backbone.embed_dim) if grids else None
        self._try(backbone.embed_dim)

    def begin(self, student: TimmBackbone, teacher: EMATeacher | None, views: Views, draws: Draws) -> State:
        crops, local = self.crops_of(views), views.local_crops
        if (0 if local is None else len(local)) != self.n_local_crops:
            raise ValueError(
                f"JointEmbedding has n_local_crops={self.n_local_crops}, the views have "
                f"{0 if local is None else len(local)}; they must agree"
            )
        seed = (draws.on("cpu").whole().uniform(1) * 2**31).long()
        state = {**pack(student.trunk(crops.flatten(0, 1)), "global"), "seed": seed}
        if local is not None:
            state |= pack(student.trunk(local.flatten(0, 1)), "local")
        if self.pool == "dense" or self.takes == "grids":
            if views.global_boxes is None or (local is not None and views.local_boxes is None):
                raise ValueError(
                    f"JointEmbedding with {type(self.loss).__name__} and pool={self.pool!r} asks where crops lie in "
                    "their images, and these views do not say; use a recipe whose ops leave pixels in their place (no "
                    "rotation, shear, translation, …), or make Views with global_boxes"
                )
            grid = torch.tensor(student.grid(crops[0]))
            if self.pool == "dense":
                region, _ = common_region(*views.global_boxes)
                state |= {"regions": torch.stack([inside(region, box) for box in views.global_boxes]), "grid": grid}
            else:
                state["global.places"] = _places(views.global_boxes, student.grid(crops[0]))
                if local is not None:
                    state["local.places"] = _places(views.local_boxes, student.grid(local[0]))
        return state

    def finish(self, student: TimmBackbone, state: State) -> Float[Tensor, ""]:
        if WEIGHTS in state:
            raise ValueError(
                f"JointEmbedding: {type(self.loss).__name__} is one number for the whole batch, images have no weight "
                "in it; give the designer gates='straight_through' or 'fixed', or take SimCLR, MAE or DINO"
            )
        tokens = {name: student.tail(unpack(state, name)) for name in ("global", "local") if f"{name}.x" in state}
        views = {"global": self.n_global_crops, "local": self.n_local_crops}
        tokens = {name: of.unflatten(0, (views[name], -1)) for name, of in tokens.items()}
        embeddings = {name: self._embed(student, of, state) for name, of in tokens.items()}
        dense = {}
        if self.dense_projector is not None:
            for name, of in tokens.items():
                rows_columns = state[f"{name}.places"].shape[2:4]
                patches = [student.patch_tokens(view) for view in of]
                dense[name] = [full_precision(self.dense_projector(p)).unflatten(1, rows_columns) for p in patches]
        return self._loss_of(self.loss, embeddings, dense, state)

    def loss_components(self, student: TimmBackbone, state: State) -> dict[str, Float[Tensor, ""]]:
        return {"loss": self.finish(student, state)}

    def component_weights(self) -> dict[str, float]:
        return {"loss": 1.0}

    def _embed(
        self, student: TimmBackbone, tokens: Float[Tensor, "views batch tokens dim"], state: State
    ) -> Float[Tensor, "views rows dim"]:
        """One view after the other: batch norm is over the images of one view."""
        embedded = []
        for i, view in enumerate(tokens):
            if self.pool == "class":
                rows = student.class_token(view)
            elif self.pool == "patch":
                rows = student.patch_tokens(view).mean(1)
            else:
                grid = tuple(state["grid"].tolist())
                rows = roi_align(student.patch_tokens(view), grid, state["regions"][i], self.cells).flatten(0, 1)
            embedded.append(full_precision(self.projector(rows)))
        return torch.stack(embedded)

    def _loss_of(
        self, loss: nn.Module, embeddings: dict[str, Tensor], dense: dict[str, list[Tensor]], state: State
    ) -> Float[Tensor, ""]:
        own, others = embeddings["global"], embeddings.get("local")
        devices = [own.device] if own.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.autocast(own.device.type, enabled=False):
            torch.manual_seed(int(state["seed"]))
            if self.takes == "pair":
                return loss(*own)
            if self.takes == "list":
                return loss([*own, *(() if others is None else others)])
            if self.takes == "projections":
                return loss(global_proj=own, local_proj=own if others is None else others)
            features = {
                f"{name}_view_features": list(zip(embeddings[name], dense[name], strict=True)) for name in dense
            }
            grids = {f"{name}_view_grids": list(state[f"{name}.places"].to(own.dtype)) for name in dense}
            return loss(**features, **grids).squeeze()

    def _try(self, dim: int) -> None:
        """Give the loss embeddings of random features, to see now whether it takes them and remembers nothing."""
        if self.takes == "grids":
            return
        trial, state = deepcopy(self.loss), {"seed": torch.zeros(1, dtype=torch.long)}
        # With gradients: memory banks only remember what has one.
        with torch.random.fork_rng([]), torch.enable_grad(), alone():
            torch.manual_seed(0)
            embeddings = {"global": torch.stack([self.projector(torch.randn(8, dim)) for _ in range(2)])}
            embeddings["global"] = embeddings["global"].detach().requires_grad_()
            try:
                result = self._loss_of(trial, embeddings, {}, state)
            except Exception as error:  # losses raise what they like
                raise ValueError(
                    f"JointEmbedding: {type(trial).__name__} fails on embeddings {tuple(embeddings['global'].shape)} "
                    f"({type(error).__name__}: {error}); it takes another kind of input (for PatchKernelAlignmentLoss "
                    "use PaKA)"
                ) from error
        if not isinstance(result, Tensor) or result.dim():
            raise ValueError(f"JointEmbedding: {type(trial).__name__} returns {result!r}, a scalar tensor is needed")
        if _memory(trial) != _memory(self.loss):
            raise ValueError(
                f"JointEmbedding: {type(trial).__name__} remembers earlier batches, which a loss must not (a meta step "
                "would change it); switch that off (memory_bank_size=0) or take another loss"
            )


class BatchNorm(nn.Module):
    """Batch norm over the rows of all ranks, in training and evaluation; no running statistics.

    `nn.SyncBatchNorm` works on GPUs alone and has no second derivative. Computed in fp32 or better.
    """

    def __init__(self, norm: nn.BatchNorm1d):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        with torch.autocast(rows.device.type, enabled=False):
            rows = full_precision(rows)
            count = total(rows.new_tensor(float(len(rows))))
            centred = rows - total(rows.sum(0)) / count
            normal = centred * (total(centred.square().sum(0)) / count + self.eps).rsqrt()
            return normal if self.weight is None else normal * self.weight + self.bias


def _projector(node: Mapping | nn.Module | None, key: str, dim: int) -> nn.Module:
    """The projector, its batch norms replaced."""
    if node is None:
        return nn.Identity()
    module = build_part(node, nn.Module, f"JointEmbedding: {key}", dim)
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm1d):
                setattr(parent, name, BatchNorm(child))
    return module


def _what_it_takes(loss: nn.Module) -> str:
    """What the loss is given: "pair", "list", "projections" or "grids"."""
    arguments = inspect.signature(loss.forward).parameters
    needed = [name for name, a in arguments.items() if a.default is a.empty and a.kind is not a.VAR_KEYWORD]
    known = {
        ("z_views",): "list",
        ("global_proj", "local_proj"): "projections",
        ("global_view_features", "global_view_grids"): "grids",
    }
    takes = known.get(tuple(sorted(needed)), "pair" if len(needed) == 2 else None)
    if takes is None:
        raise ValueError(
            f"JointEmbedding: {type(loss).__name__}.forward takes ({', '.join(needed)}); two batches of embeddings, "
            "z_views, local_proj and global_proj, or global_view_features and global_view_grids are understood"
        )
    return takes


def _places(
    boxes: Float[Tensor, "views batch 4"], grid: tuple[int, int]
) -> Float[Tensor, "views batch rows columns 2"]:
    """(x, y) of each patch's centre in the image, as shares of its sides."""
    rows, columns = grid
    left, top, right, bottom = (edge.unsqueeze(-1) for edge in boxes.detach().unbind(-1))
    across, down = ((torch.arange(n, device=boxes.device, dtype=boxes.dtype) + 0.5) / n for n in (columns, rows))
    x, y = left + across * (right - left), top + down * (bottom - top)
    x, y = x.unsqueeze(-2).expand(-1, -1, rows, -1), y.unsqueeze(-1).expand(-1, -1, -1, columns)
    return torch.stack([x, y], dim=-1)


def _memory(loss: nn.Module) -> dict[str, list]:
    """All tensors that a loss holds, by name."""
    return {
        f"{prefix}.{name}": value.tolist()
        for prefix, module in loss.named_modules()
        for name, value in {**vars(module), **module._buffers}.items()
        if isinstance(value, Tensor)
    }
