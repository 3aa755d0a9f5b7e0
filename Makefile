# make demo | make test | make docs: each sets up all it needs (Python >= 3.11 and make are enough)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

# matrices of a few hundred rows: threads of the linear algebra library cost more than they bring
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: demo test package bench docs clean

demo: $(STAMP)
	$(BIN)/coherence study iceland --groups 3 --order 3 --disturb "Burfell 1-2" --size -0.1 --out demo
	@echo "The results are in demo/: summary.txt, tables (*.csv), reduced models (reduced_*.json, and as MATPOWER and PSS/E files in grids/) and pictures (*.png)"

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto $(if $(CI),,-m "not slow")
	$(BIN)/pytest -n auto --nbmake notebooks
	$(BIN)/python docs/build.py build/site
	$(MAKE) package

# the wheel in an environment with nothing else: no slycot, no pandapower
package: $(STAMP)
	rm -rf build/package
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/package .
	$(PYTHON) -m venv build/package/env
	build/package/env/bin/python -m pip install --quiet --disable-pip-version-check build/package/*.whl
	ls -l build/package/*.whl
	cd build/package && env/bin/python -W error $(CURDIR)/tests/check_wheel.py

# against the best peers, one thread, alternating, medians of five
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python tests/benchmarks/frequency.py
	$(BIN)/python tests/benchmarks/responses.py
	$(BIN)/python tests/benchmarks/reduction.py
	$(BIN)/python tests/benchmarks/groups.py
	$(BIN)/python tests/benchmarks/files.py
	$(BIN)/python tests/benchmarks/training.py

docs: $(STAMP)
	$(BIN)/python docs/build.py site

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("coherence needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build dist site
