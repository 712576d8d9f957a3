"""Files on an HTTP(S) server or in a bucket, through fsspec: by ranges of bytes, with retries, kept in a local folder.

fsspec knows the protocols and their credentials; a URL here never holds any. What fsspec leaves open is here: which
failures are worth another try, that an answer has the length that was asked for, and that several processes of one
machine fetch a file once.
"""

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vssl.parts import optional_package
from vssl.progress import say
from vssl.whole_files import whole

CHUNK = 16 * 2**20  # bytes of one request
LONGEST_WAIT = 30.0  # seconds between two tries
NO_RANGES = (
    "the server does not answer requests for ranges of bytes, by which single images are read. Put the files on one "
    "that does (nginx, Apache, a bucket; Python's http.server does not), or copy them to this machine"
)
_jitter = random.Random()  # not the global generator, which belongs to the run

Answer = TypeVar("Answer")


class RemoteError(OSError):
    """A remote file cannot be had, or is not the file that it was. Another image must not take its place."""


def is_remote(source: str | Path) -> bool:
    return "://" in str(source)


class RemoteFolder:
    """A folder behind a URL such as ``https://host/path`` or ``s3://bucket/prefix``.

    Args:
        url: without user, password or query: it is saved in configs. Credentials come from where the protocol's client
            looks for them (``~/.netrc``, ``~/.aws``, the environment, fsspec's own configuration).
        tries: how often a request is made before its failure ends the run. Waits double, from half a second on.

    Raises:
        ValueError: the URL holds credentials or a query.
        ImportError: the protocol's client is not installed.
    """

    def __init__(self, url: str, tries: int = 6):
        parsed = urlsplit(url)
        if parsed.username or parsed.password or parsed.query or parsed.fragment:
            raise ValueError(
                f"{parsed.scheme}://{parsed.hostname}…: a URL with a user, a password or a query would put credentials "
                "into the saved config; give the bare URL, and the credentials in ~/.netrc (https), ~/.aws or the "
                "environment (s3)"
            )
        if tries < 1:
            raise ValueError(f"tries {tries}: expected 1 or more")
        self.url, self.tries, self._protocol = url.rstrip("/"), tries, parsed.scheme
        self._files()  # now, so that a missing package is an error before the run

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or its bytes from `start` to `end`.

        Raises:
            RemoteError: it is not there, may not be read, or could not be had in `tries` tries.
        """
        url = f"{self.url}/{name}"

        def once() -> bytes:
            content = self._files().cat_file(url, start=start, end=end)
            if end is not None and len(content) > end - start:
                raise RemoteError(f"{url}: {NO_RANGES}")
            if end is not None and len(content) < end - start:
                raise ConnectionError(f"{len(content)} of {end - start} bytes came")
            return content

        return self._tried(url, once)

    def check_ranges(self, name: str) -> None:
        """Ask for one byte inside of a file.

        Raises:
            RemoteError: the server would send the whole file instead; or see `read`.
        """
        url = f"{self.url}/{name}"

        def once() -> None:
            try:
                with self._files().open(url, cache_type="none") as file:
                    file.seek(1)
                    file.read(1)  # unlike `cat_file` it looks at the answer's head before it takes the content
            except ValueError as error:
                raise RemoteError(f"{url}: {NO_RANGES}") from error

        self._tried(url, once)

    def size(self, name: str) -> int:
        """Bytes of a file. Raises RemoteError, see `read`."""
        url = f"{self.url}/{name}"
        if (size := self._tried(url, lambda: self._files().info(url)["size"])) is None:
            raise RemoteError(f"{url}: the server does not say how long it is; copy the files")
        return size

    def names(self, pattern: str) -> list[str]:
        """Names in this folder that match, sorted; only where the protocol can list (s3, not http).

        Raises:
            RemoteError: there is no such bucket or folder, or see `read`.
        """
        found = self._tried(self.url, lambda: self._files().glob(f"{self.url}/{pattern}"))
        if not found:
            self._tried(self.url, lambda: self._files().ls(self.url))  # which says of a bucket that it is not there
        return sorted(path.rpartition("/")[2] for path in found)

    def fetch(self, name: str, size: int, target: Path) -> None:
        """Bring a whole file here, once for all processes of this machine; nothing where `target` is there.

        Raises:
            RemoteError: see `read`; also where the file has another size than `size`.
        """
        if target.is_file():
            return
        with locked(target.with_name(f"{target.name}.lock")):
            if target.is_file():
                return
            if (there := self.size(name)) != size:
                raise RemoteError(
                    f"{self.url}/{name}: {there} bytes, but {size} when it was indexed; it was changed or cut off. Put "
                    "the old file back, or index the shards again and begin another run"
                )
            with whole(target) as partial, partial.open("wb") as file:
                for start in range(0, size, CHUNK):
                    file.write(self.read(name, start, min(start + CHUNK, size)))

    def _files(self) -> Any:
        fsspec = optional_package("fsspec", f"{self._protocol}://")
        settings: dict[str, Any] = {}
        if self._protocol in ("http", "https"):
            aiohttp = optional_package("aiohttp", f"{self._protocol}://")
            settings["client_kwargs"] = {
                "timeout": aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60), "trust_env": True,
            }  # fmt: skip
        try:
            return fsspec.filesystem(self._protocol, **settings)  # cached, for each process its own
        except ImportError as error:
            extra = "s3" if self._protocol == "s3" else "remote"
            raise ImportError(f"{self.url}: {error}. python -m pip install 'vssl[{extra}]'") from error

    def _tried(self, what: str, once: Callable[[], Answer]) -> Answer:
        for number in range(1, self.tries + 1):
            try:
                return once()
            except Exception as caught:  # clients raise their own
                error = _behind(caught)
                said = f"{type(error).__name__}{f': {error}' if str(error) else ''}"
                if isinstance(error, RemoteError):
                    raise
                if not _passes(error):
                    raise RemoteError(f"{what}: {said}. See that it is there and that you may read it") from error
                if number == self.tries:
                    raise RemoteError(
                        f"{what}: {said}, {number} times. Go on with --resume when the server answers again"
                    ) from error
                wait = min(0.5 * 2 ** (number - 1), LONGEST_WAIT) * _jitter.uniform(0.5, 1.0)
                say(f"{what}: {said}; trying again in {wait:.1f} s ({number} of {self.tries})")
                time.sleep(wait)
        raise AssertionError("unreachable")


def _behind(error: Exception) -> Exception:
    """fsspec says of every failed look at a file over HTTP that there is none; the failure itself is its cause."""
    behind = error.__cause__
    return behind if isinstance(error, FileNotFoundError) and isinstance(behind, Exception) else error


def _passes(error: Exception) -> bool:
    """Whether a failure may be gone at the next try: connections, time-outs and the server's own failures."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status >= 500 or status in (408, 429)
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return False
    botocore = {kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "botocore.exceptions"}
    if botocore & {"ConnectionError", "HTTPClientError"}:  # of s3; they are no OSErrors
        return True
    return isinstance(error, (OSError, TimeoutError)) or type(error).__module__.split(".")[0] in ("aiohttp", "fsspec")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, against other processes and other threads; it ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cache_folder(name: str) -> Path:
    """``VSSL_CACHE`` or ``~/.cache/vssl``, and a folder of this name in it."""
    return Path(os.environ.get("VSSL_CACHE") or Path.home() / ".cache" / "vssl") / name
