# make demo [YES=1] [ARGS=…]   set everything up, then show the main job on this machine
# make test [ARGS=…]           set everything up, then run all tests that this machine can run
# make lint                    ruff and mypy
# make venv                    set everything up: .venv, with the locked versions of config/constraints.txt
# make clean                   remove what these have made
#
# SPREAD over how many processes the tests are spread: most of them wait. A Redis that is given is not shared.
# PYTHON  Python 3.11 or later. YES=1  install missing Debian packages without asking.
# INSTALL what to install: this checkout, or a wheel. VENV  where.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
INSTALL ?= --editable .
SPREAD ?= $(if $(STEPMARK_TEST_REDIS_URL),,--numprocesses 3 --dist loadfile --no-loadscope-reorder)
BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/ready

.PHONY: demo test lint venv clean

demo: venv
	PATH="$(BIN):$$PATH" $(BIN)/stepmark demo $(if $(YES),--yes) $(ARGS)

test: venv
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest $(SPREAD) $(ARGS)

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

venv: $(STAMP)

# Where Python comes without ensurepip (Debian's python3-venv is not installed), its own pip fills the environment.
$(STAMP): config/constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	if [ -x $(BIN)/pip ]; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
		$$pip install --disable-pip-version-check --quiet --require-hashes --requirement config/constraints.txt \
		&& $$pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation $(INSTALL)
	touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
