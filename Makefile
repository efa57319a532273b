PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif

# Python keeps what it has compiled: tests start hundreds of processes, which begin with the same
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint clean

demo: $(STAMP)  ## the main job on the built-in clip; look at out/demo.mp4
	$(BIN)/platestream demo

test: $(STAMP)  ## all tests that need nothing but this checkout
	$(BIN)/python -m pytest -n 6 -m "not shared and not docker and not soak"

lint: $(STAMP)  ## ruff, mypy --strict, directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## forget the environment and what runs have written
	rm -rf $(VENV) out build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[train,dev]"
	touch $(STAMP)
