"""Tokenizers as one ``tokenizer.json``: a model's own, or a word-level one that is made here from texts."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.parts import optional_package

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN, END = "<unk>", "<eos>"
# What ends a text, by the vocabularies of known models; the first that a vocabulary has.
_ENDS = (END, "<|endoftext|>", "</s>", "<|end_of_text|>", "<|eot_id|>")


def need_tokenizers() -> None:
    """Raises ImportError, with the command that installs it, where the package `tokenizers` is missing."""
    optional_package("tokenizers", "a tokenizer")


def load_tokenizer(path: str | Path) -> "Tokenizer":
    """The tokenizer of a ``tokenizer.json``, or of a folder that has one, such as a model's.

    Raises:
        FileNotFoundError: it is not there. ValueError: it cannot be read. ImportError: `tokenizers` is not installed.
    """
    need_tokenizers()
    from tokenizers import Tokenizer

    path = Path(path)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"tokenizer {path} does not exist; give a tokenizer.json or the folder of one")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare Exceptions
        raise ValueError(f"tokenizer {path} cannot be read ({error}); give a tokenizer.json") from error


def train_tokenizer(texts: Iterable[str], path: str | Path) -> "Tokenizer":
    """A word-level tokenizer of `texts`, written to `path`: words with the blank before them, single digits and signs.

    Decoding gives back the text, where all its words are known.
    """
    need_tokenizers()
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|[^A-Za-z]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    # every digit is known, whatever the texts hold
    tokenizer.train_from_iterator(
        [*texts, "0123456789"], trainers.WordLevelTrainer(special_tokens=[UNKNOWN, END], show_progress=False)
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))
    return tokenizer


def end_of_text(tokenizer: "Tokenizer") -> int:
    """The token that ends a text.

    Raises:
        ValueError: the vocabulary has none that is known here.
    """
    for name in _ENDS:
        if (token := tokenizer.token_to_id(name)) is not None:
            return token
    raise ValueError(f"the tokenizer has no token that ends a text; one of {', '.join(_ENDS)} is needed")
