# Two commands do all their own set-up: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUTSIDE := build/outside/venv/bin/python
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-slow docs-test coverage check wheel sdist wheel-test docs fixtures clean

# Minutes; `make demo FULL=1` runs the recipes of the four sciences instead, half an hour.
demo: $(VENV)/.demo
	$(BIN)/sciml demo $(if $(FULL),--full --out runs/demo-full,--out runs/demo)
	@echo "the report: $(CURDIR)/runs/demo$(if $(FULL),-full)/report.html"

test: $(VENV)/.test check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

# The pages build without a warning and document every public name; what they tell to type runs, in
# a fresh folder, and the notebooks do.
docs-test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m docs

coverage: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/site
	@echo "the pages: $(CURDIR)/build/site/index.html"

# Reference data of the tests, made anew by other programs; tests/fixtures/README.md says by which.
fixtures:
	$(PYTHON) tests/fixtures/make $(SETS)

wheel: $(VENV)/.test
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

# The sources, and a wheel built from them alone.
sdist: $(VENV)/.test
	$(BIN)/python -m build --no-isolation --outdir dist .

# The wheel as a user gets it: in an environment of its own, outside the checkout.
wheel-test: wheel
	rm -rf build/outside && mkdir -p build/outside
	$(PYTHON) -m venv build/outside/venv
	$(OUTSIDE) -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(OUTSIDE) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	$(OUTSIDE) -m pip check
	cd build/outside && venv/bin/sciml --help && venv/bin/sciml models list \
	    && venv/bin/sciml demo --tiny --out runs/tiny && test -s runs/tiny/report.html
	@echo "the wheel works"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("sciml needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# torch first and by exact version: a looser demand may fetch gigabytes of CUDA packages.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(PIP) --constraint constraints.txt "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.demo: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) --constraint constraints.txt --editable '.[protein]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) --constraint constraints.txt --editable '.[test]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) dist build runs .pytest_cache .mypy_cache .ruff_cache
