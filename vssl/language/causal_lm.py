"""The learner's backbone for text: any causal language model of Hugging Face, split into trunk and tail at block L − K.

The tail (last K blocks and the final norm) holds the aligned parameters S, as in `vssl.learner.backbone`. The model's
own code makes masks, positions and rotary tables in both halves: nothing of an architecture is repeated here. That the
two halves are the model is checked when it is built.
"""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vssl.learner.backbone import Tokens
from vssl.learner.backbone_file import METADATA_KEY, sort_metadata
from vssl.parts import optional_package
from vssl.whole_files import whole


class CausalLM(nn.Module):
    """A causal language model, token numbers in, hidden states after the final norm out.

    Args:
        folder: a local folder with ``config.json`` and, unless `checkpoint` is given, the weights (safetensors), as
            ``save_pretrained`` writes it. Nothing is downloaded.
        architecture: instead of `folder`, a small model with fresh weights: ``model_type`` and the settings of its
            configuration, e.g. ``dict(model_type="qwen2", hidden_size=64, …)``.
        checkpoint: weights to start from: a ``backbone.safetensors`` that a run wrote. Its architecture must be the
            same; with neither `folder` nor `architecture` it is taken from this file.
        aligned_blocks: K, how many of the last blocks belong to S; 1..depth.

    Raises:
        FileNotFoundError, ValueError: no such folder or file, an architecture that cannot be built or split, weights of
            another one, or K outside 1..depth.
        ImportError: transformers is not installed.
    """

    reads = "text"

    def __init__(
        self,
        folder: str | None = None,
        architecture: Mapping[str, Any] | None = None,
        checkpoint: str | None = None,
        aligned_blocks: int = 2,
    ):
        super().__init__()
        if folder is not None and architecture is not None:
            raise ValueError(f"CausalLM: give folder={folder!r} or architecture, not both")
        if folder is None and architecture is None and checkpoint is None:
            raise ValueError("CausalLM: give a folder, an architecture or a checkpoint")
        if folder is None and architecture is None:
            architecture = read_about(checkpoint)["model_args"]["architecture"]
        self.lm = _from_folder(Path(folder), with_weights=checkpoint is None) if folder else _fresh(dict(architecture))
        self.model_args = {"architecture": _described(self.lm)}
        self.name = self.lm.config.model_type
        if checkpoint is not None:
            _load(self.lm, checkpoint)
        self.lm.config.use_cache = False
        self._body, self._blocks_name = _body_and_blocks(self.lm)
        self.depth, self.embed_dim = len(self.blocks), self.lm.get_input_embeddings().weight.shape[1]
        self.vocabulary = self.lm.get_input_embeddings().weight.shape[0]
        if not 1 <= aligned_blocks <= self.depth:
            raise ValueError(
                f"aligned_blocks={aligned_blocks} (K) must be in 1..{self.depth}, the depth of {self.name}"
            )
        self.aligned_blocks = aligned_blocks
        self._check_split()

    @property
    def body(self) -> nn.Module:
        """The model without its output layer."""
        return self.lm.get_submodule(self._body)

    @property
    def blocks(self) -> nn.ModuleList:
        return getattr(self.body, self._blocks_name)

    def aligned_parameters(self) -> dict[str, nn.Parameter]:
        """S by name: the last K blocks and the final norm."""
        body = f"lm.{self._body}."
        blocks = [f"{body}{self._blocks_name}.{i}." for i in range(self.depth - self.aligned_blocks, self.depth)]
        norms = [f"{body}{name}." for name, _ in self.body.named_children() if _is_norm(name)]
        return {n: p for n, p in self.named_parameters() if n.startswith((*blocks, *norms)) and p.requires_grad}

    def trunk(self, ids: Int[Tensor, "batch tokens"]) -> Tokens:
        """Everything that does not depend on S: embedding and the first L − K blocks.

        Raises:
            ValueError: a token that the vocabulary does not have.
        """
        if not ids.is_cuda and ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary:
            raise ValueError(
                f"tokens {int(ids.min())}..{int(ids.max())}, but the model's vocabulary is 0..{self.vocabulary - 1}: "
                "the tokenizer is another model's"
            )
        first = self.blocks[self.depth - self.aligned_blocks]
        handle = first.register_forward_pre_hook(_stop, with_kwargs=True)
        try:
            self.body(input_ids=ids, use_cache=False)
        except _Reached as reached:
            return Tokens(reached.hidden)
        finally:
            handle.remove()
        raise RuntimeError(f"{self.name}: block {self.depth - self.aligned_blocks} was never called")

    def tail(self, tokens: Tokens) -> Float[Tensor, "batch tokens dim"]:
        """The last K blocks and the final norm. The first blocks are passed over, their masks and positions are not."""
        first = self.blocks[self.depth - self.aligned_blocks]

        def enter(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            if args:
                return (tokens.x, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": tokens.x}

        handle = first.register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with self._first_blocks_passed_over():
                return self.body(inputs_embeds=tokens.x.detach(), use_cache=False).last_hidden_state
        finally:
            handle.remove()

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens dim"]:
        return self.tail(self.trunk(ids))

    def logits(self, hidden: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens vocabulary"]:
        """Of the token that follows each, in at least 32 bits."""
        logits = self.lm.get_output_embeddings()(hidden)
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def whole_patches(self, tokens: Int[Tensor, "batch length"]) -> Int[Tensor, "batch length"]:
        """As it is: every text is whole tokens."""
        return tokens

    def patch_tokens(self, hidden: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """All of them: a text has no class token."""
        return hidden

    def export(self, path: str | Path, card: dict | None = None) -> None:
        """Write the weights by the model's own names; its architecture and `card` go into the file's metadata."""
        about = {"kind": "causal_lm", "name": self.name, "model_args": self.model_args, "card": card or {}}
        with whole(Path(path)) as partial:
            save_file(_weights(self.lm), partial, metadata={"format": "pt", METADATA_KEY: json.dumps(about)})
            sort_metadata(partial)

    @contextmanager
    def _first_blocks_passed_over(self):
        blocks = self.blocks
        kept = list(blocks)[self.depth - self.aligned_blocks :]
        passed = [_PassedOver(block) for block in list(blocks)[: self.depth - self.aligned_blocks]]
        setattr(self.body, self._blocks_name, nn.ModuleList([*passed, *kept]))
        try:
            yield
        finally:
            setattr(self.body, self._blocks_name, blocks)

    @torch.no_grad()
    def _check_split(self) -> None:
        """Raises ValueError where trunk, tail and output layer together are not the model."""
        training = self.lm.training
        self.lm.eval()
        ids = (torch.arange(16) * 7919 % self.vocabulary).view(2, 8).to(self.lm.device)
        try:
            own, ours = self.lm(input_ids=ids, use_cache=False).logits.float(), self.logits(self(ids))
        finally:
            self.lm.train(training)
        if own.shape != ours.shape or not torch.allclose(own, ours, rtol=1e-3, atol=1e-3 * float(own.abs().max())):
            raise ValueError(
                f"CausalLM: {type(self.lm).__name__} cannot be split into trunk, tail and output layer: its logits are "
                "others. Give a plain decoder, e.g. of model_type qwen2, llama or gpt2"
            )


class _Reached(Exception):
    """The first block of the tail was reached."""

    def __init__(self, hidden: Tensor):
        super().__init__()
        self.hidden = hidden


class _PassedOver(nn.Module):
    """Stands for a block of the trunk while the tail runs. It has the attributes that the model looks at."""

    def __init__(self, block: nn.Module):
        super().__init__()
        if hasattr(block, "attention_type"):
            self.attention_type = block.attention_type

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return hidden_states


def _stop(module: nn.Module, args: tuple, kwargs: dict) -> None:
    raise _Reached(args[0] if args else kwargs["hidden_states"])


def _is_norm(name: str) -> bool:
    return "norm" in name.lower() or name.startswith("ln_")


def _body_and_blocks(lm: nn.Module) -> tuple[str, str]:
    """Names of the model without its output layer, and of its blocks in there."""
    body = str(lm.base_model_prefix)
    inner = getattr(lm, body, None)
    lists = [] if inner is None else [n for n, m in inner.named_children() if isinstance(m, nn.ModuleList) and len(m)]
    if len(lists) != 1 or lm.get_output_embeddings() is None or not any(_is_norm(n) for n, _ in inner.named_children()):
        raise ValueError(
            f"CausalLM: {type(lm).__name__} is not a stack of blocks, a final norm and an output layer; give a plain "
            "decoder, e.g. of model_type qwen2, llama or gpt2"
        )
    return body, lists[0]


def _from_folder(folder: Path, with_weights: bool) -> nn.Module:
    library = optional_package("transformers", "CausalLM")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"CausalLM folder={folder}: no config.json there; give a folder of save_pretrained")
    try:
        if with_weights:
            return library.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        return library.AutoModelForCausalLM.from_config(
            library.AutoConfig.from_pretrained(folder, local_files_only=True)
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"CausalLM folder={folder} cannot be read: {error}") from error


def _fresh(architecture: dict[str, Any]) -> nn.Module:
    library = optional_package("transformers", "CausalLM")
    kind = architecture.pop("model_type", None)
    try:
        config = library.AutoConfig.for_model(kind, **architecture)
        return library.AutoModelForCausalLM.from_config(config)
    except Exception as error:  # each configuration raises its own classes
        raise ValueError(f"CausalLM architecture: {kind!r} with {architecture} cannot be built: {error}") from error


def _described(lm: nn.Module) -> dict[str, Any]:
    """The architecture as plain values, without what belongs to one release of the library."""
    about = lm.config.to_diff_dict()
    return {"model_type": lm.config.model_type} | {
        key: value for key, value in about.items() if key not in ("transformers_version", "architectures", "dtype")
    }


def _weights(lm: nn.Module) -> dict[str, Tensor]:
    """By name, each once: an output layer that is the embedding is left out."""
    found, seen = {}, set()
    for name, value in lm.state_dict().items():
        if value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            found[name] = value.detach().contiguous().cpu()
    return found


def _load(lm: nn.Module, checkpoint: str | Path) -> None:
    read_about(checkpoint)
    weights, own = load_file(checkpoint), _weights(lm)
    strange = sorted(weights.keys() ^ own.keys())
    strange += [n for n in weights.keys() & own.keys() if weights[n].shape != own[n].shape]
    if strange:
        raise ValueError(
            f"checkpoint {checkpoint} is of another architecture; {strange[0]} and {len(strange) - 1} more"
        )
    lm.load_state_dict(weights, strict=False)
    lm.tie_weights()


def read_about(path: str | Path) -> dict:
    """What the metadata of an exported language model says: kind, name, model_args, card.

    Raises:
        FileNotFoundError, ValueError: no such file, or one that `CausalLM.export` did not write.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist; give a backbone.safetensors that a run wrote")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
    except Exception as error:  # safetensors raises its own class for every kind of damage
        raise ValueError(f"checkpoint {path} is not a readable safetensors file: {error}") from error
    if about.get("kind") != "causal_lm":
        raise ValueError(f"checkpoint {path} is not a language model that a run wrote; give its folder instead")
    return about


def load_causal_lm(path: str | Path, **overrides: Any) -> CausalLM:
    """The `CausalLM` that `CausalLM.export` wrote to `path`."""
    return CausalLM(checkpoint=str(path), **overrides)
