"""What a rank holds of a weight: all of it, or its rows where the weight is sharded (sharded_trunks.py)."""

from torch import Tensor

_OWN = "vssl_own_part"


def own_part(p: Tensor) -> Tensor:
    """This rank's rows of a sharded parameter as a plain tensor, always the same one; any other parameter as it is."""
    return getattr(p, _OWN, p)


def set_own_part(p: Tensor, rows: Tensor) -> None:
    """Have `own_part` give `rows`, which are in the memory of `p`."""
    setattr(p, _OWN, rows)
