# One line each; `make` alone lists them.
PYTHON ?= python3
PIP = .venv/bin/pip --disable-pip-version-check install -q -c constraints.txt
export HF_HUB_OFFLINE ?= 1
# Tests marked as one xdist_group stay on one core: what they share is made once.
CORES = -n auto --dist loadgroup

help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: .venv/base ## install, then a whole search on a tiny language model, held against what one would try by hand: minutes on a CPU
	test -e demo/study.yaml || .venv/bin/lamdagent init --template tiny demo
	.venv/bin/lamdagent run demo/study.yaml
	.venv/bin/lamdagent by-hand demo/study.yaml --quick

test: .venv/dev ## install, then the tests on every core, those that train tiny real models too
	.venv/bin/python -m pytest -q $(CORES) -m "not torture and not gpu"

quick: .venv/dev ## the tests that take seconds
	.venv/bin/python -m pytest -q $(CORES) -m "not slow and not torture and not gpu"

coverage: .venv/dev ## the lines that the tests of seconds leave out; fails below its floor
	.venv/bin/python -m pytest -q $(CORES) -m "not slow and not torture and not gpu" --cov=lamdagent --cov-report=term-missing:skip-covered

slow: .venv/dev ## the tests that train tiny real models
	.venv/bin/python -m pytest -q $(CORES) -m slow

torture: .venv/dev ## wrong inputs, damaged journals, power cuts, kills over and over: many minutes
	.venv/bin/python -m pytest -q -m torture

picture: ## draw docs/demo.svg from the demo's search
	.venv/bin/python docs/picture.py demo/study.yaml

gpu: .venv/dev ## the tests that need a GPU
	.venv/bin/python -m pytest -q -m gpu

check: .venv/dev ## ruff, mypy, and whether the generated docs are up to date
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python docs/generate.py --check

bench: .venv/dev ## what the search itself costs
	.venv/bin/python benchmarks/overhead.py

docs: .venv/dev ## write docs/config.md and docs/cli.md anew
	.venv/bin/python docs/generate.py

.venv/base: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) torch
	$(PIP) -e .
	touch $@

.venv/dev: .venv/base
	$(PIP) -e '.[dev]'
	touch $@

.PHONY: help demo test quick coverage slow torture gpu check bench docs picture
