"""A probe set on one backbone: from a config and a file to scored results."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.utils import get_object_from_string

from vssl.learner import TimmBackbone, open_backbone
from vssl.probes.base import Probe
from vssl.probes.cache import FeatureCache
from vssl.probes.decoded_images import ProbeData
from vssl.probes.outcome import ProbeRun
from vssl.probes.result_files import load_results, pictures_path, save_pictures, save_results
from vssl.probes.resume import protocol_digest
from vssl.probes.robustness import Robustness
from vssl.probes.setting_checks import check_settings
from vssl.scores import described


def run_probes(
    backbone: str | Path | TimmBackbone,
    cfg: Config | dict,
    out: str | Path | None = None,
    seed: int = 0,
    data: ProbeData | None = None,
    only: Sequence[str] | None = None,
    label: str | None = None,
    resume: bool = False,
    cache: str | Path | None = None,
    cache_half: bool = False,
) -> list[dict]:
    """Run every probe of a config on one backbone.

    Everything that can be wrong with config, data or backbone is found before the first probe starts; results are
    written as soon as each probe ends.

    Args:
        backbone: a file that `export_backbone` wrote, or a backbone in memory (it is copied, not frozen).
        cfg: ``probes``: {name: dict(type=ProbeClass, …)}, and optionally ``device`` ("cpu", "cuda"; default: what is
            there) and ``cache``. See configs/probes/.
        out: JSON list to write results to (pictures go beside it, as .npz); None writes nothing.
        seed: of head initialisation and batch order.
        data: decoded images, to be shared between backbones; None reads them anew.
        only: names of the probes to run; None runs all.
        cache: folder for features (vssl/probes/cache.py); None: the config's ``cache``, or memory.
        cache_half: keep them there as float16; cards and the results' protocols say so.
        label: what results call the backbone; None: its path, or its timm name when it is in memory.
        resume: keep the results in `out` that are of the same probe, protocol, seed and backbone weights, and let a
            probe that was interrupted go on from its checkpoint (``checkpoints/`` beside `out`).

    Returns:
        One dict per probe; docs/probes.md has its format.
    """
    probes = build_probes(cfg, only)
    loaded = open_backbone(backbone)
    data = ProbeData() if data is None else data
    # a results file of another kind is an error now, not after the work
    kept = {} if out is None else {_measurement(result): result for result in load_results(out)}
    device = torch.device(cfg.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
    label = label or (str(backbone) if isinstance(backbone, str | Path) else loaded.name)
    folder = cache or cfg.get("cache")
    if cache_half and not folder:
        raise ValueError("--cache-half halves features on disk; give a folder for them (--cache DIR)")
    features = FeatureCache(folder, cache_half) if folder else None
    run = ProbeRun(loaded, data, seed, device, cache=features, resume=resume)
    configs = _resolved(cfg["probes"])
    halves = {"features_kept_as": "float16"} if cache_half else {}
    protocols = {name: protocol_digest({**configs[name], **halves}, seed, run.weights) for name in probes}
    finished = {name: _finished(kept.get((name, label, protocols[name]))) if resume else None for name in probes}
    for probe in (probe for name, probe in probes.items() if not finished[name]):
        probe.load(data)
    results: list[dict] = []
    for name, probe in probes.items():
        if finished[name]:
            results.append(finished[name])
            continue
        if out is not None:
            run.checkpoint = Path(out).parent / "checkpoints" / f"{name}-{protocols[name]}.pth"
        outcome = probe.run(run)
        about = {"name": name, "position": list(configs).index(name), "backbone": label, "weights": run.weights}
        results.append({**about, "protocol": protocols[name], **outcome.result})
        if out is not None:
            if outcome.pictures:
                save_pictures(outcome.pictures, pictures_path(out))
            for sheet, image in outcome.sheets.items():
                image.save(Path(out).with_suffix(f".{sheet}.png"))
            save_results(results[-1:], out)
            run.checkpoint.unlink(missing_ok=True)  # the score is safe
            with suppress(OSError):  # not there, or another probe's checkpoint is
                run.checkpoint.parent.rmdir()
    return results


def _finished(result: dict | None) -> dict | None:
    if not result:
        return result
    try:
        return described(result)
    except ValueError as error:
        raise ValueError(f"probe '{result['name']}': {error}. Start without --resume to measure it again") from error


def _measurement(result: dict) -> tuple:
    return result.get("name"), result.get("backbone"), result.get("protocol")


def build_probes(cfg: Config | dict, only: Sequence[str] | None = None) -> dict[str, Probe]:
    """The config's probes by name, every key checked against what the probe takes.

    Raises:
        ValueError: no probes, unknown names in `only`, or unknown or missing keys.
    """
    configs = _resolved(cfg.get("probes") or {})
    if not configs:
        raise ValueError("the config has no probes; it needs probes = dict(name=dict(type=ProbeClass, ...))")
    names = list(configs) if only is None else list(only)
    strangers = [name for name in names if name not in configs]
    if strangers:
        raise ValueError(f"no probes {strangers} in the config; it has {list(configs)}")
    return {name: _build(name, configs[name]) for name in names}


def _build(name: str, config: dict) -> Probe:
    settings = dict(config)
    kind = settings.pop("type", None)
    if not (isinstance(kind, type) and issubclass(kind, Probe)):
        raise ValueError(f"probe '{name}': type={kind!r}; a subclass of `Probe` is needed, e.g. type=SegmentationProbe")
    corruptions = settings.pop("corruptions", None)
    if corruptions is not None and not kind.corruptible:
        raise ValueError(f"probe '{name}': {kind.__name__} has no score under corruptions; leave the key away")
    check_settings(kind, settings, f"probe '{name}'")
    try:
        probe = kind(**settings)
        if corruptions is not None:
            probe.robustness = Robustness(corruptions)
        return probe
    except (TypeError, ValueError) as error:  # a missing key, or a value that will not do
        raise ValueError(f"probe '{name}' ({kind.__name__}): {error}") from error


def _resolved(value):
    """Plain dicts and lists with the classes themselves.

    A pure-Python config holds them as lazy objects, and probes inside of another config their dotted names.
    """
    if isinstance(value, dict):
        return {key: _class(value[key]) if key == "type" else _resolved(value[key]) for key in value}
    return [_resolved(entry) for entry in value] if isinstance(value, list) else value


def _class(kind):
    return get_object_from_string(kind) or kind if isinstance(kind, str) and "." in kind else kind
