# make demo: the main job on rendered scenes. make test: every test. Both install into .venv first.
# make test-browser: the pages in headless Chromium, which make does not install.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test test-browser lint clean install

demo: $(INSTALLED)
	$(BIN)/python tools/prepare_data.py scenes --seed 2 --out data/benchmark
	$(BIN)/python tools/compare.py configs/scenes/demo.py --work-dir runs/demo --jobs 2

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-browser: $(INSTALLED)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		{ echo "make test-browser needs Chromium: apt-get install --no-install-recommends chromium" >&2; exit 1; }
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest tests/browser

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

install: $(INSTALLED)

# torch and torchvision come from the registry as a pair; constraints.txt holds the versions that were run.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vssl needs Python 3.11 or newer; run: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --quiet --constraint constraints.txt --editable '.[test,tracking]'
	touch $@

clean:
	rm -rf .venv data/scenes data/scenes224 data/scenes_retrieval data/benchmark data/benchmark_long build vssl.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
