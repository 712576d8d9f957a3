"""A learned `TokenMask` as a file, and a designer that replays it in other runs, bit for bit."""

import json
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vssl.designers.base import Designer
from vssl.designers.token_mask import TokenMask
from vssl.known_keys import refuse_other_format
from vssl.views.recipes import Recipe
from vssl.whole_files import whole

FORMAT, VERSION = "vssl-token-mask", "1"


def save_token_mask(designer: Designer, path: str | Path, note: str = "") -> None:
    """Writes what a `TokenMask` has learned, alone or in `Together`.

    Args:
        path: .safetensors; the network's weights, with its settings beside them.
        note: kept in the file, e.g. the run that it comes from.

    Raises:
        ValueError: the designer has no `TokenMask`, or another name of the file.
    """
    mask = next((part for part in designer.modules() if isinstance(part, TokenMask)), None)
    if mask is None:
        raise ValueError(f"{type(designer).__name__} has no TokenMask that could be saved")
    about = {"format": FORMAT, "version": VERSION, "note": note, "settings": json.dumps(mask.settings)}
    weights = {name: weight.contiguous().cpu() for name, weight in mask.state_dict().items()}
    with whole(_named(Path(path))) as partial:
        save_file(weights, partial, metadata=about)


class SavedTokenMask(TokenMask):
    """The mask of a file, fixed: it follows the image, and does not learn.

    In a config ``designer=dict(type=SavedTokenMask, path="mask.safetensors")``, or as ``patches`` of `Together` beside
    a designer that learns.

    Args:
        path: a file of `save_token_mask`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, another version, or weights that do not fit its settings.
    """

    def __init__(self, recipe: Recipe, path: str | Path):
        settings, weights = _read(Path(path))
        super().__init__(recipe, **settings)
        try:
            self.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{path}: its weights do not fit its settings {settings}: {error}") from error
        self.requires_grad_(False)


def _read(path: Path) -> tuple[dict, dict[str, Float[Tensor, "..."]]]:
    if not _named(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; save_token_mask writes it")
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except SafetensorError as error:
        raise ValueError(f"{path}: not readable as safetensors: {error}") from error
    refuse_other_format(about, (FORMAT, VERSION), path, "a token mask", "save_token_mask")
    return json.loads(about["settings"]), weights


def _named(path: Path) -> Path:
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: a file of a token mask ends in .safetensors")
    return path
