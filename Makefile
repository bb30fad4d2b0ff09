# `make` runs lint, types and tests. Each target sets up what it needs in .venv, once; the second time is quick.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
INSTALL := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := all
.PHONY: all demo test lint types bench bench-fast bench-watch bench-toolkit docs clean
TOOLKIT_BENCHES := often_wrong init lr_range speed curvature papers

all: lint types test

demo: .venv/base  ## a sick net on real digits: train it, say why it does not learn
	rm -rf runs/demo
	$(PY) -m trainwright run --folder runs/demo examples/sick_digits.py
	@echo
	@echo 'What next:'
	@echo '  open runs/demo/report.html in a browser'
	@echo '  . .venv/bin/activate                        # so that `trainwright` is on your path'
	@echo '  trainwright explain vanishing-gradient      # the page of a rule; `trainwright rules` lists all'
	@echo '  trainwright run your_script.py --its --own --arguments'

test: .venv/dev  ## the whole test suite, doctests included
	$(PY) -m pytest

lint: .venv/dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: .venv/dev
	$(PY) -m mypy

docs: .venv/docs  ## generate the rules' pages, build the site, fail on a dead link
	$(PY) -m mkdocs build --strict --quiet --site-dir site

bench: .venv/base  ## alarms on healthy trainings and faults found in sick ones: each rule's rates
	$(PY) bench/false_alarms.py

bench-fast: .venv/base  ## a fifth of them, and what watching costs for two models: for CI
	$(PY) bench/false_alarms.py --fast
	$(PY) bench/watch_cost.py --fast
	for part in often_wrong init speed; do $(PY) bench/toolkit/$$part.py --fast || exit 1; done

bench-watch: .venv/peers  ## what watching costs, beside what other tools cost
	$(PY) bench/watch_cost.py

bench-toolkit: .venv/base  ## what the toolkit claims, beside torch and the papers: half an hour
	for part in $(TOOLKIT_BENCHES); do $(PY) bench/toolkit/$$part.py || exit 1; done

clean:
	rm -rf .venv site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A stamp a set of packages. An interrupted set-up leaves no stamp, so the next make goes on where it stopped.
.venv/base: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@echo 'Setting up .venv (once; most of it is torch) ...'
	@$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --without-pip .venv && \
		$(PYTHON) -m pip --python $(PY) install --quiet -c constraints.txt pip; }  # Debian's Python lacks ensurepip
	$(INSTALL) hatchling editables
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/base
	$(INSTALL) --no-build-isolation --editable '.[dev,frameworks]'
	@touch $@

.venv/docs: .venv/base
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@

.venv/peers: .venv/base
	$(INSTALL) wandb torchmortem torch-audit
	@touch $@
