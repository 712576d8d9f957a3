"""Keys that users write, checked in one way everywhere: what is unknown is named, with the known key nearest to it."""

import difflib
from collections.abc import Iterable


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


def nearest(name: object, known: Iterable[str], phrase: str = "; did you mean {}?") -> str:
    """`phrase` with the name in `known` that is spelled most like `name`, quoted; empty where none is like it.

    Upper and lower case are the same.
    """
    spelled = {one.lower(): one for one in known}
    close = difflib.get_close_matches(str(name).lower(), spelled, n=1)
    return phrase.format(repr(spelled[close[0]])) if close else ""
