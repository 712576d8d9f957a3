"""Results of probes as lines of text."""

from vssl.counts import counted


def table(results: list[dict]) -> str:
    """One line per probe: name, scores (mean ± half range of several seeds), seconds, and what a score leaves out."""
    lines: dict[str | int, str] = {}
    for result in results:
        spread = result.get("card", {}).get("over_seeds")
        name, values = result["name"], result["scores"].items()
        scores = "  ".join(_mean(score, spread) if spread else _plain(score, value) for score, value in values)
        seconds = f"{result['seconds']:.1f} s" + (f" a seed, {counted(len(spread['seeds']), 'seed')}" if spread else "")
        line = f"{name:<16} {scores}  ({seconds}){_left_out(result)}"
        lines[name if spread else len(lines)] = line  # one for all seeds
    return "\n".join(lines.values())


def _mean(score: str, spread: dict) -> str:
    about = spread.get(score)
    return f"{score} {about['mean']:.4g} ± {about['half_range']:.2g}" if about else f"{score} –"


def _plain(score: str, value: float | None) -> str:
    return f"{score} –" if value is None else f"{score} {value:.4g}"


def _left_out(result: dict) -> str:
    return f"  {result['left_out']}" if result.get("left_out") else ""
