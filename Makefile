# Two commands for readers: `make book` and `make test`. Both install what they need into .venv, from pins.

PYTHON ?= python3
PIP_ARGS ?=
JOBS ?= 2
COUNT ?= 150
SEED ?= 0
MINUTES ?= 40
VENV ?= .venv
PROFILE ?= default

BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Another profile (book/profiles/NAME.yml) has its own pages, and is not held to the sentences of the shipped book.
NAME := $(basename $(notdir $(PROFILE)))
STRICT := $(if $(filter default,$(NAME)),-W --keep-going,)

.PHONY: book pdf plan test faults slurm fast quick mutants lint pages screenshots clean

book: $(STAMP)
	BOOK_PROFILE=$(PROFILE) BOOK_JOBS=$(JOBS) $(BIN)/jupyter-book build . -n $(STRICT)

# The book as a PDF, from the results of `make book`: only what that has not executed is. Needs latexmk, xelatex,
# rsvg-convert and fonts: apt-get install latexmk texlive-xetex texlive-latex-extra librsvg2-bin fonts-freefont-otf
# fonts-dejavu lmodern
LATEX := _build/$(if $(filter default,$(NAME)),,$(NAME)/)latex
pdf: $(STAMP)
	BOOK_PROFILE=$(PROFILE) BOOK_JOBS=$(JOBS) $(BIN)/jupyter-book build . -n --builder latex
	cd $(LATEX) && latexmk -xelatex -interaction=nonstopmode -file-line-error -quiet vggt-collapse-book.tex
	@echo $(LATEX)/vggt-collapse-book.pdf

# What `make book PROFILE=NAME` would run, and about how long: nothing is run.
plan: $(STAMP)
	BOOK_PROFILE=$(PROFILE) $(BIN)/python -m book.plan

# Tests run in $(JOBS) processes of one thread each, the longest files first. Compiled tests are kept, even
# where Python is told not to: compiling them anew is a third of the start.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST) -m "not long"

# What `make test` leaves out: twelve faults for real (killed, full, read-only, out of memory ...), with their table.
faults: $(STAMP)
	$(BIN)/python -m pytest -s tests/test_faults.py

# Sweeps through a real Slurm: one node on loopback, which the tests start and stop. Needs slurm-wlm and munge.
slurm: $(STAMP)
	$(BIN)/python -m pytest -s -v -rs tests/test_slurm.py

# While editing: lint, and beside it every test but those marked slow or book.
fast: $(STAMP)
	$(MAKE) --jobs 2 --output-sync lint quick

quick: $(STAMP)
	$(PYTEST) -q -m "not book and not slow"

# Do the tests notice a wrong line? A seeded draw of small changes of the core, each against its tests.
mutants: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutants.py --count $(COUNT) --seed $(SEED) --minutes $(MINUTES)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What a strict build cannot see (needs chromium): TeX errors, console errors, broken images, dead anchors.
pages: $(STAMP)
	$(BIN)/python -m pytest tests/test_pages.py

screenshots: $(STAMP)
	$(BIN)/python tests/browser.py _build/html _build/screenshots

# Records of runs lie in records/ and stay; older ones, below _build, are brought there first.
clean:
	test ! -d _build/records || { mkdir -p records && mv -n _build/records/* records/; }
	rm -rf _build

# Some Linux distributions ship venv without ensurepip; pip can then install itself into a bare environment.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit(f"Python {v[0]}.{v[1]} found, 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable '.[book,test]'
	touch $@
