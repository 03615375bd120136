# `make` alone lists the targets. Every target installs what it needs first, once: the stamps in
# $(VENV) carry a checksum of pyproject.toml and of the pins, so the second call installs nothing.

VENV        ?= .venv
PYTHON      ?= $(shell command -v python3.11 || command -v python3)
CONSTRAINTS ?= constraints/cpu.txt
TORCH       ?= $(shell sed -n '/^torch==/p' $(CONSTRAINTS))
TORCH_FLAGS ?=
WORKERS     ?= 2
THREADS     ?= 1
ARGS        ?=

BIN         := $(VENV)/bin
PIP         := $(BIN)/python -m pip --disable-pip-version-check
torch_key   := $(shell printf '%s' '$(TORCH) $(TORCH_FLAGS)' | cksum | cut -d' ' -f1)
rest_key    := $(shell cat pyproject.toml $(CONSTRAINTS) | cksum | cut -d' ' -f1)
VENV_STAMP  := $(BIN)/python
TORCH_STAMP := $(VENV)/.torch-$(torch_key)
STAMP       := $(VENV)/.installed-$(torch_key)-$(rest_key)

.DEFAULT_GOAL := help
.PHONY: help train test install lint format browser smollm2 clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'Which torch: $(TORCH), in the build that your package index offers for this machine.'
	@echo "Another:     make train TORCH='torch==2.9.1' TORCH_FLAGS='--index-url URL_OF_A_TORCH_INDEX'"
	@echo 'More to say: make train ARGS="seed=1 trainer.max_steps=50"'

# One thread: the matrices are so small that threads only wait for each other. On two busy cores
# 25 steps took 6 s with one thread and 149 s with two.
train: install  ## install, then train a small model with UCAS on the CPU (experiment=quickstart)
	OMP_NUM_THREADS=$(THREADS) $(BIN)/rlconf train experiment=quickstart $(ARGS)

test: lint  ## install, then ruff, mypy and all tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

lint: install  ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## let ruff repair and format everything
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

smollm2: install  ## fetch SmolLM2-135M-Instruct (93 MB) into the cache, for model=smollm2
	$(BIN)/rlconf fetch smollm2

install: $(STAMP)  ## make .venv and install: torch first and alone, then rlconf[dev] under the pins

# Chromium is no Python package: apt has it on Debian and Ubuntu, elsewhere it is yours to install.
browser:  ## what the browser test needs (Chromium), by apt where that is possible
	@if for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do \
			command -v $$name && break; done; then \
		echo 'That will do.'; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && apt-get install -y --no-install-recommends chromium; \
	elif command -v apt-get >/dev/null && command -v sudo >/dev/null; then \
		sudo apt-get update -qq && sudo apt-get install -y --no-install-recommends chromium; \
	else \
		echo 'Install Chromium or Google Chrome so that `chromium` or `google-chrome` is on PATH,'; \
		echo 'then run the tests again: without it the browser tests are skipped.'; exit 1; \
	fi

clean:  ## remove .venv and all caches; runs/ stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "rlconf needs Python 3.11 or newer, found '$(PYTHON)': make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(TORCH_STAMP): | $(VENV_STAMP)
	@echo 'Installing $(TORCH) $(TORCH_FLAGS): the build that your package index offers for this'
	@echo 'machine (a CUDA build is several GB). `make help` shows how to choose another.'
	$(PIP) install $(TORCH_FLAGS) '$(TORCH)'
	@rm -f $(VENV)/.torch-* && touch $@

# The torch that is there now stays: whatever was chosen replaces its line among the pins.
$(STAMP): $(TORCH_STAMP)
	@sed '/^torch==/d' $(CONSTRAINTS) > $(VENV)/constraints.txt
	@$(PIP) freeze | grep '^torch==' >> $(VENV)/constraints.txt
	@echo 'Installing rlconf[dev] and what it needs (under a minute on a fast line)'
	$(PIP) install -q -c $(VENV)/constraints.txt -e '.[dev]'
	@$(BIN)/python -c "import torch; print('rlconf installed in $(VENV) with torch', torch.__version__)"
	@rm -f $(VENV)/.installed-* && touch $@
