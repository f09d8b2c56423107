# Everything the lab does from the shell; `make help` lists it. Needs Python 3.11-3.13 and make.
# Another Python: make setup PYTHON=python3.12.  Data, runs and reports elsewhere: S1M_HOME=/disk make demo.

PYTHON ?= python3
VENV ?= .venv
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
RUN := $(VENV)/bin/python
HOME_FOLDER := $(if $(S1M_HOME),$(S1M_HOME),.)
NOTEBOOK ?= 03_train
MODEL ?= slow

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all notebooks lint report reports exhibits lab bench bench-gpu faults doctor clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1#\2/p' Makefile | awk -F'#' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(INSTALLED_DEV)  ## make the environment in .venv (again when pyproject.toml or constraints.txt change)

$(INSTALLED): pyproject.toml constraints.txt install.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "make: Python %d.%d is not one of 3.11, 3.12, 3.13; name one: make setup PYTHON=python3.12" % v)'
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv "$(VENV)"
	@mkdir -p "$(VENV)/etc/ipython"
	@echo "c.IPKernelApp.log_level = 40  # no warning that a kernel on this machine is not encrypted" > "$(VENV)/etc/ipython/ipython_kernel_config.py"
	@"$(RUN)" install.py
	@touch "$@"

$(INSTALLED_DEV): $(INSTALLED)
	@echo "adding the packages for tests, S3 and downloads"
	@"$(RUN)" install.py dev
	@touch "$@"

demo: MODEL := slow
demo: NOTEBOOK := 03_train
demo: report  ## the whole path: pocket dataset, slow fusion trained, reports/03_train_slow.ipynb and .html
	@echo "next: make report MODEL=single, a network that cannot see motion; make lab, all notebooks in JupyterLab"

report: $(INSTALLED)  ## train and report one network: make report MODEL=single-multires
	@mkdir -p "$(HOME_FOLDER)/reports"
	@echo "training $(MODEL), reporting into $(HOME_FOLDER)/reports/$(NOTEBOOK)_$(MODEL).ipynb"
	@"$(RUN)" -m papermill --log-level WARNING --no-progress-bar --stdout-file - --stderr-file - "notebooks/$(NOTEBOOK).ipynb" "$(HOME_FOLDER)/reports/$(NOTEBOOK)_$(MODEL).ipynb" -p model $(MODEL) \
		|| { echo "it did not end: after an interruption the same make command resumes it, an error is named above"; exit 1; }
	@"$(RUN)" -m s1m_lab report "$(HOME_FOLDER)/reports/$(NOTEBOOK)_$(MODEL).ipynb"

reports: $(INSTALLED)  ## every notebook on the pocket dataset, and reports/index.html; if interrupted, rerun it
	"$(RUN)" -m s1m_lab suite notebooks/pocket.toml

exhibits: $(INSTALLED)  ## what make reports made into the repository: reports/pocket-*.ipynb, README's table
	"$(RUN)" -m s1m_lab exhibits notebooks/pocket.toml

test: $(INSTALLED_DEV)  ## the tests, then every notebook on small values
	"$(RUN)" -m pytest -m "not slow" -n 2 --dist loadfile
	"$(RUN)" -m pytest --nbmake notebooks

test-all: $(INSTALLED_DEV)  ## the long sweeps too
	"$(RUN)" -m pytest --durations=20
	"$(RUN)" -m pytest --nbmake notebooks

notebooks: $(INSTALLED_DEV)  ## every notebook on small values
	"$(RUN)" -m pytest --nbmake notebooks

lint: $(INSTALLED_DEV)  ## ruff, types, the import order of the folders; notebooks must be stripped
	"$(RUN)" -m ruff check .
	"$(RUN)" -m ruff format --check .
	"$(RUN)" -m mypy
	"$(VENV)/bin/lint-imports"
	"$(RUN)" -m nbstripout --keep-id --verify notebooks/*.ipynb

lab: $(INSTALLED)  ## JupyterLab on the notebooks
	"$(RUN)" -m jupyterlab notebooks

bench: $(INSTALLED_DEV)  ## the lab against named rivals, one table; up to 15 minutes on two cores (the longer: benchmarks/bench.py)
	"$(RUN)" benchmarks/bench.py --write .

bench-gpu:  ## the same on a GPU, 8 minutes; takes the packages that PYTHON has, and SHARDS=folder
	"$(PYTHON)" benchmarks/bench.py --plan gpu --minutes 7 $(if $(SHARDS),--shards "$(SHARDS)") --write .

faults: $(INSTALLED_DEV)  ## kills, damage, full disks: docs/faults.md; 81 min on two busy cores, if interrupted rerun it
	"$(RUN)" -m pytest tests/faults --long

doctor: $(INSTALLED)  ## versions, devices, decoder: what is broken and what mends it
	"$(RUN)" -m s1m_lab

clean:  ## remove the environment and caches; data, runs and reports stay
	rm -rf "$(VENV)" .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
