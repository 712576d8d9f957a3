"""Every line that exists only because a dependency lags behind, each with its upstream source.

`prepare_mmseg()` is called once, before anything imports mmseg (vssl/probes does it for you); `import vssl` alone
changes nothing. docs/install.md lists the versions that it was run with.
"""

import hashlib
import importlib.metadata
import importlib.util
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

OPS = "mmcv._ext"


def prepare_mmseg() -> None:
    """Make mmseg importable and mmengine's package queries work; calling it again changes nothing.

    Raises:
        ModuleNotFoundError: neither mmcv nor mmcv-lite is installed.
        ImportError: see `check_cv2`.
    """
    check_cv2()
    stub_compiled_ops()
    replace_package_queries()
    import_mmengine_without_transformers()


# --- mmengine puts transformers' Adafactor into its registry, and imports all of transformers for it ------------------
# mmengine/optim/optimizer/builder.py. Configs here name optimizers by their classes, so that nobody misses it.


def import_mmengine_without_transformers() -> None:
    """Half of the time before the first line of a command went into that import. Does nothing where transformers or
    mmengine's optimizers are imported already; who needs transformers imports it afterwards."""
    if "transformers" not in sys.modules:
        sys.modules["transformers"] = None  # type: ignore[assignment]  # an import of it then fails, as if it were not there
        try:
            import_module("mmengine.optim")
        finally:
            del sys.modules["transformers"]


# --- mmcv-lite and mmengine ask for opencv-python, albumentations for opencv-python-headless --------------------------
# Both hold the package cv2, and it is that of the one that was installed last. Only the former needs libGL and GLib,
# which servers and slim images often lack. docs/install.md, "Two OpenCVs"


def check_cv2() -> None:
    """Import cv2.

    Raises:
        ImportError: it cannot be imported; the message says how to give it to opencv-python-headless.
    """
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error}. cv2 comes with opencv-python, which needs libraries of a desktop, and with "
            "opencv-python-headless, which does not. Give it to the latter: "
            "python -m pip install --force-reinstall --no-deps opencv-python-headless",
            name="cv2",
        ) from error


# --- mmcv-lite has no compiled ops, but mmseg imports them ------------------------------------------------------------
# mmseg/models/losses/focal_loss.py:6 and mmseg/utils/mask_classification.py:5 import `mmcv.ops`, which loads
# `mmcv._ext`, a compiled module that mmcv-lite does not ship: https://github.com/open-mmlab/mmsegmentation/issues/871


class _MissingOps(ModuleType):
    """Stands in for `mmcv._ext`: has every op by name (mmcv checks that at import); calling one raises."""

    def __getattr__(self, name: str):
        if name.startswith("__"):  # dunder look-ups (inspect, copy, pickle) must see an ordinary module
            raise AttributeError(name)

        def missing_op(*args, **kwargs):
            raise RuntimeError(
                f"mmcv op '{name}' was called, but mmcv-lite has no compiled ops. "
                "Install full mmcv instead (pip uninstall mmcv-lite; pip install 'mmcv>=2.1,<2.2')"
            )

        missing_op.__name__ = missing_op.__qualname__ = name
        return missing_op


def stub_compiled_ops() -> bool:
    """Put a stub in the place of `mmcv._ext` unless full mmcv is installed; True where a stub stands afterwards."""
    if OPS in sys.modules:
        return isinstance(sys.modules[OPS], _MissingOps)
    if importlib.util.find_spec("mmcv") is None:
        raise ModuleNotFoundError("mmcv is not installed; pip install 'mmcv-lite>=2.1.0,<2.2'", name="mmcv")
    if importlib.util.find_spec(OPS) is not None:
        return False  # full mmcv wins
    stub = _MissingOps(OPS, doc=_MissingOps.__doc__)
    # mmengine/utils/dl_utils/misc.py:109 (mmcv_full_available, called by Runner) runs pkgutil.find_loader on the name,
    # which raises ValueError for a module without __spec__. A spec without a loader reads as "full mmcv is absent".
    stub.__spec__ = ModuleSpec(OPS, loader=None)
    sys.modules[OPS] = stub
    return True


# --- setuptools 82 removed pkg_resources, mmengine still asks it ------------------------------------------------------
# mmengine/utils/package_utils.py:17,48; repaired upstream after 0.10.7: https://github.com/open-mmlab/mmengine/pull/1676


def is_installed(package: str) -> bool:
    """Is there a distribution or an importable module of this name?"""
    try:
        importlib.metadata.distribution(package)
        return True
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(package)
        return spec is not None and spec.origin is not None


def get_installed_path(package: str) -> str:
    """The folder of an installed package, given its module name or its distribution's name.

    Raises:
        importlib.metadata.PackageNotFoundError: nothing of this name is installed.
        RuntimeError: a namespace package, which has no single folder.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        modules = importlib.metadata.distribution(package).read_text("top_level.txt") or package.replace("-", "_")
        spec = importlib.util.find_spec(modules.split()[0])
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{package} is a namespace package; it has no single folder")
    return str(Path(spec.origin).parent)


def replace_package_queries() -> None:
    """Give mmengine the two queries above wherever it already holds its own (it imports them by name)."""
    import mmengine.utils.package_utils as upstream

    for name, ours in (("is_installed", is_installed), ("get_installed_path", get_installed_path)):
        theirs = getattr(upstream, name)
        for module in [m for n, m in list(sys.modules.items()) if n.split(".")[0] == "mmengine"]:
            if vars(module).get(name) is theirs:
                setattr(module, name, ours)


# --- Python 3.10 has no BaseException.add_note and no hashlib.file_digest ---------------------------------------------


def add_note(error: BaseException, note: str) -> None:
    """``error.add_note(note)``. Python 3.10 keeps the note too, but only vssl's commands print it: a traceback there
    does not."""
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]


def file_digest(path: Path, kind: str = "sha256") -> str:
    """Hexadecimal digest of a file's content; `kind` is a name that `hashlib.new` knows."""
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
