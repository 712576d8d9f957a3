"""What a row of the store is: which result, and what it says.

A row's `id` says which result it is: an arm with its settings, seed and start; a probe with its protocol, seed and
backbone. Its `content` says what came of it. Where a folder lies enters neither, nor does where its data lie if they
have a ``dataset.json``. So the same result found twice is one row, and another result under the same id is noticed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# What a card says of the backbone, the single run or the machine; the rest is the protocol.
_NOT_PROTOCOL = ("model", "model_args", "seed", "final_training_loss", "over_seeds", "versions", "device")


@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        columns: what is searched and shown.
        record: all that was written about it.
        about: what may be known later than the result: of a run, what its comparison says.
    """

    table: Literal["runs", "probes"]
    id: str
    content: str
    columns: dict[str, Any]
    record: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        if self.table == "runs":
            return f"run {self.columns['arm']}, seed {self.columns['seed']}"
        return f"probe {self.columns['probe']} of {self.columns['backbone']}, seed {self.columns['seed']}"


def portable_protocol(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result's card without what differs between machines: backbone, seed, versions, device, the data's place."""
    card = {key: value for key, value in result.get("card", {}).items() if key not in _NOT_PROTOCOL}
    if isinstance(card.get("data"), Mapping) and len(card["data"]) > 1:
        card["data"] = {key: value for key, value in card["data"].items() if key != "root"}
    return {"task": result["task"], **card}


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
