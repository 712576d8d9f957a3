"""What vssl repairs in mmcv-lite, mmengine and mmseg; each test fails on the libraries as they ship."""

import hashlib
import importlib.metadata
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from vssl import compat

ROOT = Path(__file__).parents[1]


def python(code: str, *path: Path) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def prepared():
    compat.prepare_mmseg()


@pytest.mark.slow
def test_mmseg_and_runner_import_in_a_fresh_process_and_plain_vssl_loads_neither():
    out = python(
        "import sys, vssl\n"
        "assert not {'mmcv', 'mmengine', 'mmseg'} & set(sys.modules)\n"
        "from vssl.compat import prepare_mmseg; prepare_mmseg(); prepare_mmseg()\n"
        "from mmseg.models import EncoderDecoder; from mmengine.runner import Runner\n"
        "import vssl.engine; assert 'transformers' not in sys.modules, 'half of the time before the first line'\n"
        "from mmengine.utils.dl_utils.misc import mmcv_full_available\n"
        "print(EncoderDecoder.__name__, mmcv_full_available())"
    )
    assert out.split() == ["EncoderDecoder", "False"]


def test_a_cv2_that_cannot_be_imported_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"cv2.*--force-reinstall --no-deps opencv-python-headless"):
        compat.prepare_mmseg()


def test_stub_has_a_spec_that_find_loader_accepts():
    # mmengine's Runner asks pkgutil.find_loader, which raises ValueError for a module whose __spec__ is None
    assert pkgutil.find_loader(compat.OPS) is None
    assert sys.modules[compat.OPS].__spec__.name == compat.OPS


def test_missing_op_can_be_looked_up_but_calling_it_names_op_and_next_step():
    from mmcv.utils import ext_loader

    ops = ext_loader.load_ext("_ext", ["nms", "roi_align_forward"])
    with pytest.raises(RuntimeError, match=r"'roi_align_forward'.*Install full mmcv"):
        ops.roi_align_forward(1, 2)


def test_full_mmcv_wins(tmp_path):
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "mmcv/__init__.py").write_text("")
    (tmp_path / "mmcv/_ext.py").write_text("def nms(): return 'compiled'")
    out = python(
        "from vssl import compat; print(compat.stub_compiled_ops()); import mmcv._ext as e; print(e.nms())", tmp_path
    )
    assert out.split() == ["False", "compiled"]


def test_without_any_mmcv_the_message_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, compat.OPS)
    monkeypatch.setattr(compat.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'mmcv-lite"):
        compat.stub_compiled_ops()


def test_package_queries_work_without_pkg_resources(monkeypatch):
    import mmengine.config.config
    import mmengine.utils

    monkeypatch.setitem(sys.modules, "pkg_resources", None)  # as on setuptools >= 82
    for module in (mmengine.utils, mmengine.config.config):
        assert module.is_installed("mmsegmentation") and module.is_installed("mmseg")
        assert not module.is_installed("no-such-package")
        assert Path(module.get_installed_path("mmsegmentation")).name == "mmseg"
        assert Path(module.get_installed_path("mmseg")).name == "mmseg"
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        mmengine.utils.get_installed_path("no-such-package")


def test_notes_are_kept_in_order_on_every_python():
    error = ValueError("wrong")
    compat.add_note(error, "first")
    compat.add_note(error, "second")
    assert error.__notes__ == ["first", "second"]


def test_file_digest_is_hashlibs_also_beyond_one_block(tmp_path):
    content = bytes(range(256)) * 5000  # 1.2 MiB
    (tmp_path / "a").write_bytes(content)
    assert compat.file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    assert compat.file_digest(tmp_path / "a", "sha1") == hashlib.sha1(content).hexdigest()


def test_cv2_is_that_of_the_headless_distribution():
    assert cv2.version.headless, "run: python -m pip install --force-reinstall --no-deps opencv-python-headless"
