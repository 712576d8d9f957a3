"""The README of a Hugging Face folder, written from what the run left: data, recipe, policy, scores with protocols."""

import json
from pathlib import Path

from mmengine.config import Config

from vssl.export.source import Source
from vssl.reports.runs import protocol_of, read_json, read_lines
from vssl.scores import described
from vssl.whole_files import EXPORTED

_HEADER = """---
library_name: timm
pipeline_tag: image-feature-extraction
tags:
- image-feature-extraction
- timm
- vssl
---
"""
_MADE_BY = ("objective", "recipe", "designer", "feedback", "optimizer", "batch_size", "precision")


def model_card(source: Source, name: str) -> str:
    """Markdown. What the run does not say is not said; the licence is left to the owner of weights and data."""
    licence = "## Licence\n\nNot stated. The licence of the start checkpoint and of the data applies.\n"
    parts = [_HEADER, f"# {name}\n", _summary(source), _use(source, name), _making(source)]
    parts += [_policy(source.run), _scores(source.run), licence]
    return "\n".join(part for part in parts if part)


def _summary(source: Source) -> str:
    backbone, about = source.backbone, source.about
    size = sum(p.numel() for p in backbone.vit.parameters()) / 1e6
    text = (
        f"A vision transformer, `{backbone.name}` of timm: {size:.1f} million weights, patches of "
        f"{backbone.patch_size} px, {backbone.embed_dim} channels.\n"
    )
    if "objective" in about:
        text += (
            f"Its self-supervised pretraining was continued with {about['objective']} for {about['steps']} steps by "
            f"vssl ([arXiv 2601.22108](https://arxiv.org/abs/2601.22108)); the weights are the {about['weights']}'s.\n"
        )
    elif "start" in about:
        text += f"The weights are those of `{about['start']}`" + (
            f" (`{about['checkpoint_key']}`).\n" if "checkpoint_key" in about else ".\n"
        )
    return text


def _use(source: Source, name: str) -> str:
    backbone = source.backbone
    prefix = backbone.num_prefix_tokens
    first = f"the first {prefix}: class token and registers" if prefix else "patches alone"
    mean, std = ([round(v, 6) for v in value.flatten().tolist()] for value in (backbone.mean, backbone.std))
    return f"""## Use

```python
import timm

model = timm.create_model("hf-hub:OWNER/{name}", pretrained=True).eval()  # or "local-dir:FOLDER"
tokens = model.forward_features(images)  # (batch, tokens, {backbone.embed_dim}), normalised; {first}
```

Images are RGB in [0, 1], less the mean {mean} and divided by the deviation {std}.
Sides are multiples of {backbone.patch_size} px.
"""


def _making(source: Source) -> str:
    rows = {key: source.about[key] for key in ("arm", "seed", "budget", "world_size", "steps") if key in source.about}
    if source.run is not None:
        info = read_json(source.run / "run.json")
        rows |= {key: info[key] for key in ("seconds", "finished", "vssl_version") if key in info}
        rows |= _settings(source.run / "config.py")
    if not rows:
        return ""
    lines = [f"| {key} | {_plain(value)} |" for key, value in rows.items()]
    return "\n".join(["## How it was made\n", "| | |", "|---|---|", *lines, ""])


def _settings(path: Path) -> dict:
    """What of a run's config says how the weights came about; of paths the last two names."""
    if not path.is_file():
        return {}
    config = Config.fromfile(str(path)).to_dict()
    start = config["backbone"].get("checkpoint")
    key = config["backbone"].get("checkpoint_key")
    rows = {"start": _place(start) + (f" ({key})" if key else "") if start else "timm's weights"}
    if config.get("continue_run"):
        rows["start"] = f"the run {_place(config['continue_run'])}: backbone, SSL head, teacher and optimizer"
    elif not start and not config["backbone"].get("pretrained"):
        rows["start"] = "random weights"
    rows["data"] = config.get("unlabeled")
    rows |= {name: config[name] for name in _MADE_BY if config.get(name) is not None}
    return {name: _without_paths(value) for name, value in rows.items()}


def _policy(run: Path | None) -> str:
    """Numbers and gates that a policy learned, beside the recipe's."""
    lines = read_lines(run / "policy.jsonl") if run is not None else []
    rows = []
    for view in lines[-1].get("views", []) if lines else []:
        for entry in [*view["numbers"], *view["gates"]]:
            old, new = _short(entry["initial"]), _short(entry["current"])
            if old != new:
                rows.append(
                    f"| {view['name']} | {entry['name']} ({entry.get('unit', 'probability')}) | {old} | {new} |"
                )
    if not rows:
        return ""
    head = ["## What the designer learned\n", "| views | | recipe | learned |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _scores(run: Path | None) -> str:
    results = _results(run) if run is not None else []
    if not results:
        return "## Scores\n\nNot measured.\n"
    names = [result["name"] for result in results]
    lines, cards = [], {}
    for result in results:
        name, card = result["name"], result.get("card", {})
        probe = f"{name}, seed {card.get('seed')}" if names.count(name) > 1 else name
        for score, value in result["scores"].items():
            info = result["score_info"][score]
            better = {"higher": "more is better", "lower": "less is better"}.get(info["better"], "")
            number = "not finite" if value is None else f"{value:.{info['digits']}f} {info['unit']}".strip()
            lines.append(f"| {probe} | {info['title']} | {number} | {better} |")
        protocol = json.dumps(_without_paths(protocol_of(result)), indent=1, ensure_ascii=False)
        cards[name] = f"<details><summary>protocol of {name}</summary>\n\n```json\n{protocol}\n```\n\n</details>\n"
    head = ["## Scores\n", "Of frozen probes. Scores under other protocols cannot be compared.\n"]
    return "\n".join([*head, "| probe | score | | |", "|---|---|---|---|", *lines, "", *cards.values()])


def _results(run: Path) -> list[dict]:
    """Of ``probes/*.json``: a list of results as tools/probe.py writes it, or one result as tools/compare.py does.

    Rows of other backbones, such as random weights, are left out.
    """
    results = []
    for path in sorted((run / "probes").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        for result in content if isinstance(content, list) else [content]:
            label = Path(result.get("backbone", ""))
            if label.name == EXPORTED and label.parent.name in (run.resolve().name, ""):
                results.append(described(result))
    return sorted(results, key=lambda result: result.get("position", 0))


def _without_paths(value):
    if isinstance(value, dict):
        return {key: _without_paths(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_paths(v) for v in value]
    return _place(value) if isinstance(value, str) and Path(value).is_absolute() else value


def _place(path: str) -> str:
    """The last two names of a path: where the others are on this machine is nobody's business."""
    return "/".join(Path(path).parts[-2:]) if isinstance(path, str) else path


def _plain(value) -> str:
    if not isinstance(value, dict):
        return str(value)
    inner = ", ".join(f"{key}={_plain(v)}" for key, v in value.items() if key != "type")
    kind = str(value["type"]).rpartition(".")[2] if "type" in value else ""
    return f"{kind}({inner})" if kind else f"({inner})"


def _short(value) -> str:
    return " to ".join(f"{v:.3g}" for v in value) if isinstance(value, list) else f"{value:.3g}"
