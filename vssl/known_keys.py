"""Keys that users write, and formats of files that they keep, checked in one way everywhere.

What is unknown is named, with the known key nearest to it.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


def refuse_unknown(
    given: Iterable[str], known: Iterable[str], where: str, error: type[ValueError] = ValueError
) -> None:
    """Raises `error`, whose message names every key of `given` that is not in `known`.

    Args:
        where: names the place, at the beginning of the message.
    """
    known = sorted(set(known))
    unknown = [key for key in given if key not in known]
    if unknown:
        told = ", ".join(f"{key!r}{near}" for key in unknown for near in [nearest(key, known, " (did you mean {}?)")])
        raise error(f"{where}: unknown key{'s' * (len(unknown) > 1)} {told}; known: {', '.join(known)}")


def refuse_other_format(
    about: object, expected: tuple[str, object], path: str | Path, kind: str, written_by: str
) -> None:
    """Raises ValueError unless `about`, what a file says of itself, has the expected format and version.

    Args:
        expected: format, version.
        kind: of file, for the message, such as "a policy file".
        written_by: the function that writes such files.
    """
    format_, version = expected
    if not isinstance(about, Mapping) or about.get("format") != format_:
        raise ValueError(f"{path}: not {kind} (its 'format' is not {format_!r}); {written_by} writes them")
    if about.get("version") != version:
        raise ValueError(
            f"{path}: {kind} of version {about.get('version')}, this vssl reads version {version}; load it with the "
            "vssl that wrote it, or save it again"
        )


def nearest(name: object, known: Iterable[str], phrase: str = "; did you mean {}?") -> str:
    """`phrase` with the name in `known` that is spelled most like `name`, quoted; empty where none is like it.

    Upper and lower case are the same.
    """
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), spelled, n=1)
    return phrase.format(repr(spelled[close[0]])) if close else ""
