"""The attentive probe: a learned query gathers from all patch tokens what a linear classifier then sees.

Followed: V-JEPA's frozen image classification (Bardes et al. 2024, arXiv 2404.08471; github.com/facebookresearch/jepa,
src/models/attentive_pooler.py with one query, one block).
"""

from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float, UInt8
from timm.layers import Mlp
from torch import Tensor, nn

from vssl.probes.decoded_images import FolderSplit
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.head_grid import Member, with_learning_rate
from vssl.probes.image.linear_grid import LinearGridProbe, Look, loss_of
from vssl.probes.outcome import ProbeRun

FOR_VECTORS = ("last_layers", "pools", "batch_norm")  # settings of a grid whose classifiers see one vector per image


class AttentiveClassifier(nn.Module):
    """Cross-attention of one learned query, an MLP and a linear layer.

    Args:
        dim: of tokens; num_heads: divides it.
        init_std: of the query and of all weights; the two that end a residual branch are divided by √2, as in V-JEPA.
    """

    def __init__(self, dim: int, classes: int, num_heads: int, mlp_ratio: float = 4.0, init_std: float = 0.02):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.linear = nn.Linear(dim, classes)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=init_std)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        with torch.no_grad():
            self.attention.out_proj.weight.div_(2**0.5)
            self.mlp.fc2.weight.div_(2**0.5)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch classes"]:
        query, tokens = self.query.expand(len(tokens), -1, -1), self.norm1(tokens)
        pooled = query + self.attention(query, tokens, tokens, need_weights=False)[0]
        pooled = pooled + self.mlp(self.norm2(pooled))
        return self.linear(pooled[:, 0])


class AttentiveProbe(LinearGridProbe):
    """Top-1 of the best of several attentive classifiers on the last layer's patch tokens, trained side by side.

    Crops, cached epochs, held-out images and the choice among `learning_rates` and `seeds` are those of
    `LinearGridProbe`. Cached features are patch tokens: images × tokens × width.

    Args:
        num_heads: of the attention; None for the backbone's.
        mlp_ratio: hidden width of the MLP over the tokens' width.
    """

    def __init__(
        self,
        learning_rates: Sequence[float],
        num_heads: int | None = None,
        mlp_ratio: float = 4.0,
        init_std: float = 0.02,
        **settings,
    ):
        if for_vectors := [name for name in FOR_VECTORS if name in settings]:
            raise ValueError(f"the attentive probe sees the last layer's patch tokens; leave {for_vectors} away")
        super().__init__(learning_rates, init_std=init_std, **settings)
        self.num_heads, self.mlp_ratio = num_heads, mlp_ratio

    def build(self, run: ProbeRun, classes: int) -> list[Member]:
        dim, heads = run.backbone.embed_dim, self.heads_for(run)
        if heads < 1 or dim % heads:
            raise ValueError(f"num_heads={heads} must divide the backbone's width, {dim}")
        members = []
        for seed, lr in product(self.seeds, self.learning_rates):
            with torch.random.fork_rng():
                torch.manual_seed(run.seed + seed)
                classifier = AttentiveClassifier(dim, classes, heads, self.mlp_ratio, self.init_std)
            head = nn.Sequential(nn.Unflatten(1, (-1, dim)), classifier).to(run.device)
            about = {"lr": lr, "seed": run.seed + seed}
            members.append(Member(about, head, with_learning_rate(self.schedule, lr), loss_of(head)))
        return members

    def heads_for(self, run: ProbeRun) -> int:
        return self.num_heads or int(run.backbone.vit.blocks[0].attn.num_heads)

    def looker(self, run: ProbeRun) -> Look:
        """Images to their patch tokens, one after the other in a row."""
        frozen = FrozenBackbone(run.backbone, final_norm=self.final_norm).to(run.device)

        def look(images: UInt8[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch row"]:
            (maps,) = frozen(images.to(run.device).float() / 255)
            return maps.flatten(2).transpose(1, 2).flatten(1)

        return look

    def grid_card(self, train: FolderSplit, val: FolderSplit, run: ProbeRun, kept: int, held: int) -> dict:
        head = f"attention of one query, {self.heads_for(run)} heads → MLP × {self.mlp_ratio:g} → linear"
        card = super().grid_card(train, val, run, kept, held)
        return {**card, "head": head, "pool": "learned", "layers": "last", "class_token": False}

    def protocol(self, split: FolderSplit) -> dict:
        return {**self.protocol_of_images(split), "tokens": "patches", "final_norm": self.final_norm}
