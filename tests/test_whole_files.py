"""A file is whole or it is not there."""

import json

import pytest

from vssl.whole_files import whole, write_json


def test_a_file_appears_whole_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"name": "Größe"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Größe"}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk"), whole(path) as partial:
        partial.write_bytes(b"ne")
        raise OSError("disk full")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
