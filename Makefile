# `make test` is all that a fresh machine with Python 3.11 or newer needs: it installs into .venv, then tests.

PYTHON ?= python3
TORCH ?= 2.13.0
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install test windows lint docs demo cluster strips wheel oldest lock audit clean

install: $(INSTALLED)

test: $(INSTALLED)
	$(BIN)/python -m pytest

# Some tests with files that behave as on Windows.
windows: $(INSTALLED)
	PYTHONPATH=tests $(BIN)/python -m pytest -p windows tests/test_files.py tests/dubbing/test_job.py tests/dubbing/test_journal.py tests/dubbing/test_clip_folder.py

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: $(INSTALLED)
	$(BIN)/lipsmith dub demo/actor.mp4 demo/speech.wav -o demo/dubbed.mp4 --overwrite
	$(BIN)/lipsmith dub demo/face.png demo/speech.wav -o demo/portrait.mp4 --overwrite

# A batch on a Ray cluster of two nodes in this machine, one of which is killed.
cluster: $(INSTALLED)
	$(BIN)/python tests/nodes.py --films 8 --nodes 2

# The wheel and the sdist in dist/; the wheel is installed and used in a clean environment of each Python that is here.
wheel: $(INSTALLED)
	BIN=$(BIN) .ci/wheel

# Some tests with the oldest dependencies that pyproject.toml permits.
oldest: $(INSTALLED)
	BIN=$(BIN) .ci/oldest

# The versions with which everything was tested, for `make install`.
lock: $(INSTALLED)
	$(BIN)/python .ci/lock.py > constraints.txt

# Known weaknesses of the locked versions; asks the package index about each.
audit: $(INSTALLED)
	$(BIN)/pip install -q pip-audit
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

# The README's pictures and films, of what `make demo` wrote.
strips: demo
	$(BIN)/python demo/film_loop.py demo/actor.mp4 demo/dubbed.mp4 docs/demo.webp
	$(BIN)/python demo/film_strip.py demo/portrait.mp4 docs/portrait.png 60 40 190 190
	cp demo/dubbed.mp4 docs/demo.mp4
	cp demo/portrait.mp4 docs/portrait.mp4

clean:
	rm -rf .venv dist build

# torch goes first and by version: the tested one where pip finds it, any that this machine offers elsewhere.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lipsmith needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install -q torch==$(TORCH) || $(BIN)/pip install -q torch
	$(BIN)/pip install -q -e '.[dev]' --constraint constraints.txt
	@touch $@
