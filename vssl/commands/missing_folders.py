"""Folders of data that a config names and that are not there, told in a second: before torch and the rest are imported.

A config names classes, but they are imported only when it is looked at. Everything else is checked where the work
begins, these folders again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from vssl.arm_settings import arm_options, on_top, options_of, written_out
from vssl.compat import add_note
from vssl.config_files import config_file, read_config
from vssl.data_folders import refuse_missing
from vssl.options import read_option

# The arguments of each class that must be folders on this machine. What has a `data_prefix` is a data set of mmseg.
_FOLDERS = {
    **dict.fromkeys(("UnlabeledImages", "UnlabeledShards"), ("root",)),
    "UnlabeledMixture": ("roots",),
    **dict.fromkeys(("SegmentationImages", "DepthImages", "ClassFolders"), ("root",)),
    **dict.fromkeys(("EmbeddingProbe", "KeypointPairs", "RevisitedRetrieval"), ("root",)),
    **dict.fromkeys(("AttentiveProbe", "KNNProbe", "LinearGridProbe", "LinearProbe", "LowShotProbe"), ("train", "val")),
}

_Found = Iterator[tuple[str | PathLike, str]]  # a folder, and what to say of where it is named


def refuse_for_training(config: Path, options: Mapping[str, Any]) -> None:
    """Raises FileNotFoundError for a missing folder of a training config: of its images, labels, and own probes."""
    _refuse(partial(_of_training, config, options))


def refuse_for_probing(config: Path, options: Mapping[str, Any], only: list[str] | None) -> None:
    """Raises FileNotFoundError for a missing folder of a probe config, of the probes in `only` or of all."""
    _refuse(partial(_of_probes, config, options, only))


def refuse_for_comparing(config: Path, arms: list[str] | None) -> None:
    """Raises FileNotFoundError for a missing folder of a comparison or a sweep: of its arms, its start, its probes."""
    _refuse(partial(_of_comparison, config, arms))


def _refuse(find: Callable[[], _Found]) -> None:
    found: list[tuple[str | PathLike, str]] = []
    with suppress(Exception):  # a config is a program; who loads it for the work says what is wrong with it
        for place in find():
            found.append(place)
    for folder, where in found:
        try:
            refuse_missing(folder)
        except FileNotFoundError as error:
            if where:
                add_note(error, where)
            raise


def _of_training(config: Path, options: Mapping[str, Any], where: str = "") -> _Found:
    settings = _with_options(read_config(config).to_dict(), options)
    for name in ("unlabeled", "feedback"):
        yield from _folders(settings.get(name), where)
    for entry in settings.get("probes") or ():
        yield from _of_probes(entry.get("config") or entry, {}, entry.get("only"), where)


def _of_probes(
    config: Path | str | dict, options: Mapping[str, Any], only: list[str] | None, where: str = ""
) -> _Found:
    given = config if isinstance(config, dict) else read_config(config_file(config, below="probes/")).to_dict()
    probes = _with_options(given, options)["probes"]
    for name in probes if only is None else only:
        yield from _folders(probes[name], where)


def _of_comparison(config: Path, only: list[str] | None) -> _Found:
    comparison, source = read_config(config).to_dict(), str(config)
    arms = written_out(comparison["arms"] if "arms" in comparison else {"baseline": comparison["trial"]}, source)
    file = partial(_config, comparison)
    for name in arms if only is None else only:
        training = file(arms[name]["config"])
        options = arm_options(arms[name], comparison, source, name, partial(_feedback, training))
        yield from _of_training(training, options, f"while loading the config of arm {name!r}")
    start = comparison["start"]
    if "config" in start:
        options = on_top(options_of(comparison, source), options_of(start, source))
        yield from _of_training(file(start["config"]), options, "while loading the config of the start")
    yield from _of_probes(comparison["probes"], {}, None, "while loading the probes")


def _config(comparison: Mapping[str, Any], name: str) -> Path:
    return config_file(Path(comparison.get("configs", ""), name))


def _feedback(config: Path) -> Any:
    return read_config(config).to_dict().get("feedback")


def _folders(node: Any, where: str) -> _Found:
    """Every folder that the classes below a config's node must find."""
    if isinstance(node, list | tuple):
        for entry in node:
            yield from _folders(entry, where)
    if not isinstance(node, dict):
        return
    package, _, kind = str(node.get("type")).rpartition(".")
    for key in _FOLDERS.get(kind, ()) if package.startswith("vssl.") else ():
        roots = node.get(key)
        for root in roots.values() if isinstance(roots, dict) else [roots]:
            if isinstance(root, str | PathLike):
                yield root, where
    root = node.get("data_root")
    if root and isinstance(node.get("data_prefix"), dict) and "://" not in root:
        yield root, where
        for part in node["data_prefix"].values():
            yield Path(root, part), where
    for value in node.values():
        yield from _folders(value, where)


def _with_options(config: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A config's settings with dotted options put in, as far as that matters here: nothing is checked."""
    for key, text in options.items():
        value = read_option(config, key, text)
        node: Any = config
        *above, last = _parts(key)
        for part in above:
            node = node[part] if isinstance(node, list) else node.setdefault(part, {})
        there = node[last] if isinstance(node, list) else node.get(last)
        merged = isinstance(value, dict) and isinstance(there, dict) and value.get("type") in (None, there.get("type"))
        node[last] = there | value if merged else value
    return config


def _parts(key: str) -> list[Any]:
    """A dotted key's parts: names of settings, and numbers of entries of lists."""
    return [int(part) if part.isdigit() else part for part in key.split(".")]
