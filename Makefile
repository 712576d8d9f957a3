# make demo: the main job on rendered scenes. make test: every test. Both install into .venv first.
# make test-fast: what takes less than about half a second each, for a developer's loop.
# make test-rounding: the numerical tests again with the kernels of other processors, which round otherwise.
# make test-browser: the pages in headless Chromium, which make does not install.
# make docs: the documents as a site, in build/site/index.html. make test-site: that site in headless Chromium.
# make test-oldest: every test on Python 3.10 with the oldest versions that pyproject.toml allows, in .venv-oldest. CI does
# not run it, since it downloads another 3 GB: run it whenever a lower bound changes.
PYTHON ?= python3
OLDEST_PYTHON ?= python3.10
BIN := .venv/bin
INSTALLED := .venv/.installed
OLDEST := .venv-oldest
EXTRAS := test,test-s3,tracking,onnx,language,lora,docs
OLDEST_EXTRAS := test,tracking
NUMERICAL := tests/value tests/objectives tests/views
# Tests run on one thread each. A file's tests stay in one process, which renders its scenes once.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist loadfile

.PHONY: demo test test-fast test-rounding test-oldest test-browser test-site docs lint clean install

demo: $(INSTALLED)
	$(BIN)/python tools/prepare_data.py scenes --seed 2 --out data/benchmark
	$(BIN)/python tools/compare.py configs/scenes/demo.py --work-dir runs/demo --jobs 2

test: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(INSTALLED)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# ATen's and MKL's kernels for older processors; AVX2's only where the processor's own are others. oneDNN's stay below AMX
# then: torch's bf16 attention takes AMX's from it and refuses to pack for them without its own of AVX-512.
test-rounding: $(INSTALLED)
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest $(PARALLEL) $(NUMERICAL)
	if $(BIN)/python -c 'import torch; exit(torch.backends.cpu.get_cpu_capability() != "AVX512")'; then \
		ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(BIN)/python -m pytest $(PARALLEL) $(NUMERICAL); fi

test-browser test-site: $(INSTALLED)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ echo "make $@ needs Chromium: apt-get install --no-install-recommends chromium" >&2; exit 1; }
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest $(if $(filter test-site,$@),tests/browser/test_site.py,tests/browser --ignore tests/browser/test_site.py)

test-site: docs

# A broken link is an error.
docs: $(INSTALLED)
	rm -rf build/site docs/reference
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs $(JOBS) -c docs . build/site

test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest $(PARALLEL)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(INSTALLED)

# $(call install-into,FOLDER,CONSTRAINTS,EXTRAS). opencv-python and opencv-python-headless hold the same cv2, and the one that is
# installed last has it. That is headless: the other one needs libGL and GLib of the system.
define install-into
	$(1)/bin/pip install --quiet --quiet --constraint $(2) --editable '.[$(3)]'
	$(1)/bin/pip install --quiet --quiet --constraint $(2) --force-reinstall --no-deps opencv-python-headless
endef

# torch and torchvision come from the registry as a pair; constraints.txt holds the versions that were run.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "the versions in constraints.txt are for Python 3.11 to 3.13; run: make PYTHON=python3.11 (docs/install.md for Python 3.10)")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install-into,.venv,constraints.txt,$(EXTRAS))
	touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	$(OLDEST_PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 10) else "constraints-oldest.txt is for Python 3.10; run: make test-oldest OLDEST_PYTHON=python3.10")'
	test -x $(OLDEST)/bin/python || $(OLDEST_PYTHON) -m venv $(OLDEST)
	$(call install-into,$(OLDEST),constraints-oldest.txt,$(OLDEST_EXTRAS))
	touch $@

clean:
	rm -rf .venv $(OLDEST) data/scenes data/scenes224 data/scenes_retrieval data/benchmark data/benchmark_long build docs/reference vssl.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
