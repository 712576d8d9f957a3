"""A short look whether the hub of released weights answers: without a network its client asks again for a minute."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session

SECONDS = 5  # to connect, and to answer


@contextmanager
def cache_alone_if_unreachable() -> Iterator[bool]:
    """Gives whether the hub answers. Where it does not, what the block loads comes from the cache, or fails at once."""
    if constants.HF_HUB_OFFLINE or _answers():
        yield not constants.HF_HUB_OFFLINE
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield False
    finally:
        constants.HF_HUB_OFFLINE = False


def _answers() -> bool:
    """Any answer will do, also a refusal. The session knows of proxies and of other servers (HF_ENDPOINT)."""
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)
    except Exception:  # each of the clients that it has had raises its own
        return False
    return True
