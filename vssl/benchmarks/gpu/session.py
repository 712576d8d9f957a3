"""Parts with a time budget each, whose rows are on disk as soon as they are measured, whatever ends the process."""

import signal
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vssl.benchmarks.result_table import markdown
from vssl.benchmarks.timing import Quartiles
from vssl.whole_files import write_json, write_text


class OutOfTime(Exception):
    """A part used up its time."""


@dataclass
class Section:
    """What one part has measured so far."""

    name: str
    ends: float
    save: Callable[[], None]
    state: str = "running"
    seconds: float = 0.0
    error: str = ""
    trace: list[str] = field(default_factory=list)
    tables: dict[str, list[dict]] = field(default_factory=dict)

    def add(self, table: str, row: dict) -> None:
        """Prints a row and writes the report."""
        self.tables.setdefault(table, []).append(row)
        print(f"  {table}: " + ", ".join(f"{key} {_cell(value)}" for key, value in row.items()), flush=True)
        self.save()

    def attempt(self, table: str, which: dict, measure: Callable[[], dict]) -> None:
        """Adds `measure`'s row to `which`; its error becomes a row too, and makes the part fail at its end."""
        try:
            row = measure()
        except OutOfTime:
            raise
        except Exception as error:
            self.trace += _summary(error)
            self.error = f"{self.error}; {table} {_words(which)}: {_said(error)}".removeprefix("; ")
            row = {"failed": _said(error)}
        self.add(table, which | row)

    @property
    def left(self) -> float:
        """Seconds until the part is stopped."""
        return self.ends - time.monotonic()


@dataclass(frozen=True)
class SessionPart:
    """share: of the whole time."""

    name: str
    share: float
    run: Callable[[Namespace, Section], None]


class Session:
    """Runs parts and keeps ``<out>.json`` and ``<out>.md``.

    Args:
        header: device, versions, command.
        seconds: for all parts together; what a part leaves goes to those after it.
    """

    def __init__(self, out: Path, header: dict[str, str], seconds: float):
        self.out, self.header, self.seconds = out, header, seconds
        self.sections: list[Section] = []
        out.parent.mkdir(parents=True, exist_ok=True)

    def run(self, parts: Sequence[SessionPart], arguments: Namespace) -> bool:
        """True when no part failed. SIGTERM ends the session as Ctrl-C does, with everything measured on disk."""
        end, previous = time.monotonic() + self.seconds, signal.signal(signal.SIGTERM, _terminate)
        try:
            for number, part in enumerate(parts):
                shares = sum(p.share for p in parts[number:])
                self._run_part(part, (end - time.monotonic()) * part.share / shares, arguments)
        finally:
            signal.signal(signal.SIGTERM, previous)
        return not self.failed

    @property
    def failed(self) -> list[Section]:
        return [section for section in self.sections if section.state == "failed"]

    def save(self) -> None:
        parts = [
            {k: getattr(s, k) for k in ("name", "state", "seconds", "error", "trace", "tables")} for s in self.sections
        ]
        result = {"header": self.header, "parts": parts}
        write_json(self.out.with_name(self.out.name + ".json"), result)
        write_text(self.out.with_name(self.out.name + ".md"), self.page())

    def page(self) -> str:
        """Markdown, failures first."""
        lines = ["# GPU benchmark", "", *(f"- {name}: {value}" for name, value in self.header.items()), ""]
        if self.failed:
            lines += ["## Failed", "", *(f"- **{s.name}**: {s.error}" for s in self.failed), ""]
        for section in self.sections:
            lines += [
                f"## {section.name}",
                "",
                f"{section.state}, {section.seconds:.0f} s. {section.error}".rstrip(),
                "",
            ]
            for title, rows in section.tables.items():
                columns = dict.fromkeys(key for row in rows for key in row)
                shown = [{c: _cell(row.get(c, "")) for c in columns} for row in rows]
                lines += [f"### {title}", "", markdown(shown, dict.fromkeys(columns, "")), ""]
            if section.trace:
                lines += ["```", *section.trace, "```", ""]
        return "\n".join(lines)

    def _run_part(self, part: SessionPart, seconds: float, arguments: Namespace) -> None:
        start = time.monotonic()
        section = Section(part.name, start + seconds, self.save)
        self.sections.append(section)
        print(f"{part.name}: {seconds:.0f} s at most", flush=True)
        try:
            with _alarm(seconds):
                part.run(arguments, section)
            section.state = "failed" if section.error else "finished"
        except OutOfTime:
            section.state = "failed" if section.error else "out of time"
        except Exception as error:
            section.state = "failed"
            section.error = f"{section.error}; {_said(error)}".removeprefix("; ")
            section.trace += _summary(error)
        except BaseException:
            section.state = "interrupted"
            raise
        finally:
            section.seconds = time.monotonic() - start
            self.save()
            print(f"{part.name}: {section.state} {section.error}", flush=True)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """`OutOfTime` in this thread once the seconds are over (after the call into C that is under way then)."""

    def ring(*_) -> None:
        raise OutOfTime

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _terminate(*_) -> None:
    raise KeyboardInterrupt("SIGTERM")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"


def _summary(error: BaseException) -> list[str]:
    """The innermost five calls."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return [f"{Path(f.filename).name}:{f.lineno} {f.name}: {f.line}" for f in frames] + [_said(error)]


def _words(which: dict) -> str:
    return " ".join(str(value) for value in which.values())


def _cell(value) -> str:
    if isinstance(value, Quartiles):
        return format(value, ".4g")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
