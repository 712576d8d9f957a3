"""Results made with other settings are refused rather than mixed."""

from pathlib import Path

from vssl.reports import different_keys


class OtherSettings(ValueError):
    """What lies on the disk was made with other settings."""


def refuse_other_settings(before: dict, now: dict, file: Path, remedy: str) -> None:
    """`OtherSettings` with the keys that differ, when `file` was made with other flat settings than `now`."""
    changed = different_keys(before, now)
    if not changed:
        return
    listed = "; ".join(f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in changed[:5])
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    raise OtherSettings(f"{file} was made with other settings ({listed}{more}); {remedy}")
