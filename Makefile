# The one list of checks. Everything works on a fresh clone with Python >= 3.11, make and the package registry.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MANIFESTS := core/pyproject.toml $(wildcard plugins/*/pyproject.toml) constraints.txt
READY := $(VENV)/ready
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
TESTS := core/tests $(wildcard plugins/*/tests) tests
PURE := codec clock digest instants layout records resolve link entities where
empty :=
comma := ,
PURE_FILES := $(subst $(empty) ,$(comma),$(foreach module,$(PURE),*/tierfold/$(module).py */tierfold/$(module)/*))

# Constrains the environments that pip builds in, too.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check prove bench wheels constraints clean

demo: $(READY)
	$(BIN)/tierfold demo --headless

test: $(READY)
	$(BIN)/python -m pytest $(TESTS) -m "not slow and not prove and not wheels"

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy core/src core/tests
	for member in $(PLUGINS); do $(BIN)/mypy $$member/src $$member/tests || exit 1; done
	$(BIN)/mypy tests
	$(BIN)/mypy conftest.py
	$(BIN)/lint-imports

# Properties run with 2,000 examples here; pytest-timeout's limit is per test.
prove: $(READY)
	$(BIN)/python -m pytest $(TESTS) -m "slow or prove or hypothesis" \
		--hypothesis-profile=prove --timeout=1200 -o faulthandler_timeout=1200
	$(BIN)/coverage run -m pytest core/tests -m "not slow and not prove" --hypothesis-profile=ci --timeout=60
	$(BIN)/coverage report --include='$(PURE_FILES)' --fail-under=100

bench: $(READY)
	$(BIN)/python -m tests.bench

wheels: $(READY)
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./core $(PLUGINS:%=./%)

# Writes the newest versions that work together; the tests decide whether they do.
constraints:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT= $(BIN)/pip install --quiet -e "./core[cli,testing,dev]" $(PLUGINS:%=-e ./%)
	$(BIN)/pip freeze --exclude-editable | grep '==' > constraints.txt
	touch $(READY)

clean:
	rm -rf $(VENV) dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): $(MANIFESTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e "./core[cli,testing,dev]" $(PLUGINS:%=-e ./%)
	touch $(READY)
