import json
import math

from mmengine import Config

from vssl.compat import file_digest
from vssl.designers.base import Identity
from vssl.engine.settings import flat_settings
from vssl.environment import describe_environment


def test_nested_settings_become_dotted_keys_of_plain_values():
    config = Config(dict(designer=dict(type=Identity), steps=[dict(lr=1.0), 2], sizes=(1, 2), empty={}, m=None))
    assert flat_settings(config) == {
        "designer.type": "vssl.designers.base.Identity",
        "steps.0.lr": 1.0,
        "steps.1": 2,
        "sizes": [1, 2],
        "empty": {},
        "m": None,
    }


def test_places_modules_and_own_variables_are_no_settings():
    config = {"backbone": {"checkpoint": "a", "depth": 4}, "work_dir": "b", "_x": 1, "math": math}
    assert flat_settings(config) == {"backbone.depth": 4}


def test_settings_survive_json():
    flat = flat_settings({"a": (1, (2, 3)), "b": {"type": dict}, "c": 0.1})
    assert json.loads(json.dumps(flat)) == flat


def test_digest_follows_the_content(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")
    (tmp_path / "b").write_text("y")
    assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")


def test_environment_says_machine_threads_versions_and_date():
    environment = describe_environment()
    assert environment["threads"] == 1 and environment["cpus"] >= 1
    assert {"torch", "timm", "mmengine", "vssl"} <= set(environment["versions"])
    assert environment["date"].endswith("UTC") and "1 threads" in environment["machine"]
    json.dumps(environment)
