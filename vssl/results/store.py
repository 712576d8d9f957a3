"""The store: two tables, in one SQLite file or in any database that SQLAlchemy reads.

Writers may run at once. SQLite's writers wait for each other, up to `PATIENCE` seconds. A row that two of them bring is
inserted by one and compared by the other.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vssl.parts import optional_package
from vssl.results.rows import Entry

optional_package("sqlalchemy", "the results store")
import sqlalchemy as sa  # noqa: E402
from sqlalchemy import exc  # noqa: E402

FORMAT = 1
PATIENCE = 120  # seconds that a writer waits for others

_metadata = sa.MetaData()


def _table(name: str, *columns: sa.Column) -> sa.Table:
    return sa.Table(
        f"vssl_{name}",
        _metadata,
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("content", sa.String(16), nullable=False),
        *columns,
        sa.Column("path", sa.Text),
        sa.Column("added", sa.String(32), nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
    )


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Text) for name in names]


RUNS = _table(
    "runs",
    *_text("arm", "objective", "designer", "config", "recipe", "start", "dataset", "weights", "git"),
    sa.Column("seed", sa.Integer),
    sa.Column("steps", sa.Integer),
    sa.Column("seconds", sa.Float),
)
PROBES = _table(
    "probes",
    *_text("run", "backbone", "model", "probe", "task", "protocol", "weights", "dataset"),
    sa.Column("seed", sa.Integer),
    sa.Column("seconds", sa.Float),
)
_STORE = sa.Table("vssl_store", _metadata, sa.Column("format", sa.Integer, primary_key=True))
_TABLES = {"runs": RUNS, "probes": PROBES}


@dataclass
class Added:
    """What came of `Store.add`: rows that are new, that were there, that were replaced; and those that are there with
    other content, which was kept."""

    new: list[Entry] = field(default_factory=list)
    same: list[Entry] = field(default_factory=list)
    replaced: list[Entry] = field(default_factory=list)
    changed: list[tuple[Entry, str]] = field(default_factory=list)  # with the path that was recorded


class Store:
    """Results in a database.

    Args:
        where: a file, which is SQLite's, or a URL as SQLAlchemy reads it (``postgresql://…``).
        create: make the tables where there are none.

    Raises:
        FileNotFoundError: no such file, and it is not to be made.
        ValueError: not a results store, a damaged one, or a database that cannot be reached. No message has a password.
        ImportError: SQLAlchemy, or the database's driver, is not installed.
    """

    def __init__(self, where: str | Path, create: bool = False):
        url = _url(where)
        self.shown, file = (url.render_as_string() if "://" in str(where) else str(where)), url.database
        self._sqlite = url.get_backend_name() == "sqlite"
        if self._sqlite and Path(file or "").is_dir():
            raise ValueError(f"{self.shown} is a folder; give the store's file in it, such as results.sqlite")
        if self._sqlite and not create and not Path(file or "").is_file():
            raise FileNotFoundError(f"{self.shown} does not exist; vssl results add FOLDER makes it")
        if self._sqlite and create:
            Path(file or "").absolute().parent.mkdir(parents=True, exist_ok=True)
        try:
            self._engine = sa.create_engine(url, connect_args={"timeout": PATIENCE} if self._sqlite else {})
        except ModuleNotFoundError as error:
            raise ImportError(f"results store {self.shown}: install {error.name}, the database's driver") from error
        except exc.ArgumentError as error:
            raise ValueError(f"results store {self.shown}: {error}") from error
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _leave_transactions_to_us)
            sa.event.listen(self._engine, "begin", _begin)
        self._check(create)

    def add(self, entries: Iterable[Entry], replace: bool = False) -> Added:
        """Insert what is new. A row that is there with other content is kept and told of; `replace` replaces it."""
        added = Added()
        with self._connected(writes=True) as connection:
            for entry in entries:
                self._add(connection, entry, replace, added)
        return added

    def runs(self) -> list[dict[str, Any]]:
        """Rows of runs in order of arm and seed: `Entry.columns`, ``id``, ``added``, ``record`` and ``about``."""
        return self._rows(RUNS, RUNS.c.arm, RUNS.c.seed, RUNS.c.id)

    def probes(self) -> list[dict[str, Any]]:
        """Rows of probe results, in order of probe, backbone and seed."""
        return self._rows(PROBES, PROBES.c.probe, PROBES.c.backbone, PROBES.c.seed, PROBES.c.id)

    def _rows(self, table: sa.Table, *order: sa.Column) -> list[dict[str, Any]]:
        with self._connected() as connection:
            rows = [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]
        return [{**row, "record": json.loads(row["record"]), "about": json.loads(row["about"])} for row in rows]

    def _add(self, connection: sa.Connection, entry: Entry, replace: bool, added: Added) -> None:
        table = _TABLES[entry.table]
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        about = json.dumps(entry.about)
        values = {"content": entry.content, **entry.columns, "record": json.dumps(entry.record), "about": about}
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table).values(id=entry.id, added=now, **values))
            return added.new.append(entry)
        except exc.IntegrityError:
            there = connection.execute(sa.select(table).where(table.c.id == entry.id)).mappings().one()
        update = sa.update(table).where(table.c.id == entry.id)
        if not _differs(entry, there):
            if entry.about and about != there["about"]:  # a comparison knows more at its end
                connection.execute(update.values(about=about))
            added.same.append(entry)
        elif replace:
            connection.execute(update.values(added=now, **values))
            added.replaced.append(entry)
        else:
            added.changed.append((entry, there["path"]))

    def _check(self, create: bool) -> None:
        with self._connected(writes=create) as connection:
            if self._sqlite and (damage := connection.exec_driver_sql("PRAGMA quick_check").scalar()) != "ok":
                raise ValueError(f"{self.shown} is damaged ({damage}); restore it, or add the folders to a new file")
            tables = set(sa.inspect(connection).get_table_names())
            if _STORE.name not in tables and (not create or (self._sqlite and tables)):
                holds = f"it holds {', '.join(sorted(tables)[:4])}" if tables else "it is empty"
                raise ValueError(f"{self.shown} is no results store ({holds}); give another file, or add to a new one")
            if create:
                _metadata.create_all(connection)
            made = connection.execute(sa.select(_STORE.c.format)).scalar()
            if made is None and create:
                connection.execute(sa.insert(_STORE).values(format=FORMAT))
            elif made != FORMAT:
                raise ValueError(f"{self.shown} has format {made}, this version of vssl reads {FORMAT}")

    @contextmanager
    def _connected(self, writes: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection, connection.execution_options(writes=writes).begin():
                yield connection
        except exc.DBAPIError as error:
            why = str(error.orig).strip().partition("\n")[0]
            raise ValueError(f"results store {self.shown}: {why}") from error


def _differs(entry: Entry, there: Any) -> bool:
    """Whether a row says something else. A backbone that was removed since is not known to differ."""
    if entry.content != there["content"]:
        return True
    ours, theirs = entry.columns["weights"], there["weights"]
    return ours is not None and theirs is not None and ours != theirs


def _url(where: str | Path) -> sa.URL:
    try:
        url = sa.make_url(str(where)) if "://" in str(where) else sa.URL.create("sqlite", database=str(where))
    except (exc.ArgumentError, ValueError) as error:
        raise ValueError("the store's URL cannot be read; expected e.g. postgresql://user@host/database") from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError(f"{where}: results in memory are lost with the process; name a file")
    return url


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    """Python's sqlite3 begins transactions by itself, and late: two writers that have both read could not go on."""
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
