# `make book` builds the book, `make test` proves it; neither needs anything set up before.
# Variables: PYTHON (interpreter, 3.11 or newer), TORCH (pip arguments for torch; on Linux its CPU
#            build by default), JOBS (chapters, or experiments, at the same time),
#            PORT (of `make serve`).
.DEFAULT_GOAL := help
.PHONY: help book test lint audit response stills bench experiments assignments serve clean distclean constraints setup-book setup-test

PYTHON ?=
TORCH ?=
JOBS ?=
PORT ?= 8000

RUN := .venv/bin/python
# Fixed, so that the reader's environment does not change a chapter's outputs.
export PYTHONHASHSEED := 0

# PYTHON if given, else the first candidate that is new enough, else python3 for its error message.
BOOTSTRAP = @python="$(PYTHON)"; \
  for candidate in python3 python3.13 python3.12 python3.11 python3.14; do \
    [ -n "$$python" ] && break; \
    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
      && python="$$candidate"; \
  done; \
  python="$${python:-python3}"; \
  command -v "$$python" >/dev/null 2>&1 || { \
    echo "Python 3.11 or newer is needed, and '$$python' was not found. Install it, or name one:" \
         "make book PYTHON=/path/to/python3" >&2; exit 1; }; \
  "$$python" tools/bootstrap.py $(if $(TORCH),--torch "$(TORCH)") $(if $(PYTHON),--chosen)

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

setup-book:
	$(BOOTSTRAP) book
setup-test:
	$(BOOTSTRAP) test

book: setup-book  ## execute every chapter and write the site to _build/html
	@$(RUN) tools/build.py $(if $(JOBS),--jobs $(JOBS))

test: setup-test  ## everything: linters, types, import layers, the book, all tests
	@$(RUN) tools/chromium.py
	@$(RUN) tools/node.py --dev >/dev/null  # first, since both targets below need its packages
	@$(MAKE) --no-print-directory -j2 check site
	@$(RUN) -m pytest -n auto --dist worksteal

# `make test` runs these two in parallel, since each leaves cores idle for part of its time.
.PHONY: check site
site:
	@$(RUN) tools/build.py $(if $(JOBS),--jobs $(JOBS))
check:
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	.venv/bin/lint-imports
	$(RUN) tools/lint.py

lint: setup-test check  ## ruff, mypy, import layers, JavaScript

audit: setup-test  ## Lighthouse on every page; table and results/audit.json
	@$(RUN) tools/chromium.py
	@$(RUN) tools/build.py $(if $(JOBS),--jobs $(JOBS))
	@$(RUN) tools/audit.py

response: setup-test  ## time to redraw a figure during a drag; table and results/response.json
	@$(RUN) tools/chromium.py
	@$(RUN) tools/response.py

stills: setup-test  ## committed pictures: the cover, and moving figures without JavaScript
	@$(RUN) -m dpofield.figures.cover book/assets/cover.svg
	@$(RUN) tools/chromium.py
	@$(RUN) tools/build.py $(if $(JOBS),--jobs $(JOBS))
	@$(RUN) tools/stills.py
	@$(RUN) tools/build.py $(if $(JOBS),--jobs $(JOBS))

bench: setup-test  ## speed, against TRL and the plain forms; table and results/bench.json
	@PYTHONPATH=tools $(RUN) -m bench

experiments: setup-test  ## remake results/experiments; an interrupted run continues
	@$(RUN) -m dpofield.experiments run all $(if $(JOBS),--workers $(JOBS))

assignments: setup-test  ## student notebooks of book/assignments from their masters
	@$(RUN) -m coursework build

serve:  ## serve the built book on 127.0.0.1 (PORT=8000)
	@[ -f _build/html/index.html ] || { echo "Nothing is built yet: run make book first." >&2; exit 1; }
	@PYTHONPATH=tools $(RUN) -c "import fingerprint; print(fingerprint.why_not_current() or 'The book is current.')"
	@$(RUN) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html || { \
	  echo "If port $(PORT) is taken, choose another: make serve PORT=8001" >&2; exit 1; }

constraints: setup-test  ## write the versions now in .venv to constraints.txt
	@$(RUN) tools/constraints.py

clean:  ## remove what was built; keep .venv
	rm -rf _build build notebooks

distclean: clean  ## remove everything that make made
	rm -rf .venv tools/node_modules
