"""`make docs` builds: no link of a page or a docstring is broken. The tutorial has a test of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")  # the extra "docs", which needs Python 3.11
ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    shutil.rmtree(ROOT / "docs/reference", ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-D", "nb_execution_mode=off"]
    command += ["-c", "docs", ".", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    for page in ("index", "README", "docs/tutorial", "docs/reference/vssl.value", "search"):
        assert (tmp_path / f"{page}.html").is_file(), page
