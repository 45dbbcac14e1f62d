# make demo   sets everything up and runs the main job on a bundled real table
# make test   sets everything up and passes the tests
# make test-browser  opens both reports in a real browser (needs chromium, and says so)
# make test-spark    tables on a Spark cluster, here of two workers (needs Java 17, and says so)
# make test-postgres tables of a database server of its own (needs PostgreSQL's initdb and pg_ctl, and says so)
# make docs   builds the documentation site in build/site
# make check  format, lint and strict types
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SHOTS ?= build/shots
BROWSER ?= 1

.PHONY: setup demo test test-browser test-spark test-postgres docs check format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dpsynth needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,oracle,gan,duckdb,faker]'
	@touch $@

demo: setup
	$(BIN)/dpsynth demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# BROWSER=/path/to/chromium names one that is not on the path; screenshots and printed pages go to SHOTS.
test-browser: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,browser]'
	DPSYNTH_BROWSER=$(BROWSER) DPSYNTH_SHOTS=$(SHOTS) $(BIN)/python -m pytest tests/browser

# pyspark is a download of 400 MB.
test-spark: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,duckdb,spark]'
	DPSYNTH_SPARK=1 $(BIN)/python -m pytest tests/spark

# starts a server of its own, on a socket in a temporary folder; initdb comes with the package postgresql
test-postgres: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,duckdb,databases]'
	$(BIN)/python tests/postgres/with_server.py

# the site, into build/site; reads and loads nothing from elsewhere
docs: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	$(BIN)/python -m docs.tools.errors_page
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info
