"""All operations of the differentiable space, for files, plots and policies that want every one.

An op is in the space once a module of `vssl.views.ops` registers it (`vssl.views.ops.register`). The table in
docs/views.md is `table()`'s.
"""

from importlib import import_module
from pkgutil import iter_modules

from vssl.views import ops
from vssl.views.ops import Op, registered

for _module in iter_modules(ops.__path__):
    import_module(f"{ops.__name__}.{_module.name}")

# Sorted, so that the order does not depend on imports. Geometric ops stand together: they cost one resample.
SPACE: tuple[Op, ...] = tuple(sorted(registered(), key=lambda op: (not op.geometric, op.name)))


def op_named(name: str) -> Op:
    """The op of a file; raises ValueError with the names that exist."""
    for op in SPACE:
        if op.name == name:
            return op
    raise ValueError(f"unknown op {name!r}; the space has {', '.join(op.name for op in SPACE)}")


def table() -> str:
    """The ops as the rows of a Markdown table."""
    lines = ["| op | range | identity | unit | kornia | relaxation |", "|---|---|---|---|---|---|"]
    for op in SPACE:
        relaxation = op.relaxation or ("exact, noisy" if op.geometric else "exact")
        numbers = f"{op.low:g} .. {op.high:.4g} | {op.identity:.4g} | {op.unit}"
        lines.append(f"| {op.name} | {numbers} | {op.kornia} | {relaxation} |")
    return "\n".join(lines)
