# make demo | make test: each sets up all it needs (Python >= 3.11 and make are enough)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test clean

demo: $(STAMP)
	$(BIN)/coherence study iceland --groups 3 --order 3 --disturb "Burfell 1-2" --size -0.1 --out demo
	@echo "The results are in demo/: summary.txt, tables (*.csv), reduced models (reduced_*.json) and pictures (*.png)"

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(if $(CI),,-m "not slow")
	$(BIN)/pytest --nbmake notebooks

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("coherence needs Python 3.11 or newer; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build dist
