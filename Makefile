# Everything a developer does. `make demo` and `make test` set themselves up in a fresh clone: they need Python 3.11 or
# newer, Go 1.26 or newer (or KUBEBUILDER_ASSETS), and the package registries of PyPI and Go.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
ONLY ?=
TRIES ?= 25
export PYTHONPATH := operator:.

.PHONY: help setup ground tools demo test unit integration e2e image crash check generate golden format bench doctor clean
.DEFAULT_GOAL := help

help: ## Say what there is
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/one" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Python packages into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

setup: $(SETUP) ## Install the Python packages

ground: $(SETUP) ## Find or build the Kubernetes programs (once; kept outside the work tree)
	@$(BIN)/python -m e2e.ground build

tools: $(SETUP) ## Find or build what the chart is checked with: helm, kubeconform, kube-score
	@$(BIN)/python -m e2e.ground build helm kubeconform kube-score

demo: ground ## 847 hosts, 319 gangs, a real control plane: watch them being placed
	@$(BIN)/python -m e2e.demo $(DEMO)

test: TRIES = 100
test: check unit integration ## Everything

unit: $(SETUP) ## Tests without a cluster, laws on TRIES per cent of their examples
	PROPERTY_TRIES=$(TRIES) $(BIN)/python -m pytest -q -n auto -m 'not cluster and not chart and not kind'

integration: ground tools ## Tests on the real API server
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m cluster

e2e: $(SETUP) ## Berth's image on real kubelets: a kind cluster of three nodes (root or Docker; no registry needed)
	@$(BIN)/python -m e2e.kind doctor
	@$(BIN)/python -m e2e.kind prepare
	$(BIN)/python -m pytest -q -m kind tests/kind

image: $(SETUP) ## Berth's image: by the Dockerfile, or from Debian packages where no base image can be pulled
	@$(BIN)/python -m e2e.images

crash: ground ## Kill the operator before and after each write of the life of a job of 64 replicas (an hour and a half)
	CRASH_REPLICAS=64 $(BIN)/python -m pytest -q -n 2 -m cluster tests/integration/test_operator_crash_points.py

check: tools ## Formatting, lint, types, layers, dependencies, drift of generated files, the chart
	$(BIN)/ruff format --check operator e2e tests
	$(BIN)/ruff check operator e2e tests
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	@$(MAKE) --no-print-directory generate CHECK=--check
	$(BIN)/python -m pytest -q -m chart tests/chart

generate: $(SETUP) ## Write the CRDs, the policies' parameters, the reference and what of the chart is derived anew
	$(BIN)/python -m berth.api.crd $(CHECK) crds
	$(BIN)/python -m berth.api.reference $(CHECK) docs/reference
	$(BIN)/python -m berth.accel.reference $(CHECK) docs/reference
	$(BIN)/python -m berth.accel.parameters $(CHECK) policies
	$(BIN)/python -m berth.app.metrics.reference $(CHECK) docs/reference
	$(BIN)/python -m berth.sim.scenario.reference $(CHECK) docs/reference
	$(BIN)/python -m tests.mistakes $(CHECK) docs/reference
	$(BIN)/python -m e2e.chart.generate $(CHECK) .

golden: tools ## Render the chart's golden manifests anew: read the difference before you commit it
	$(BIN)/python -m tests.chart.golden tests/golden

format: $(SETUP) ## Format the code
	$(BIN)/ruff format operator e2e tests
	$(BIN)/ruff check --fix operator e2e tests

bench: ground ## Print the figures, one JSON line each; ONLY=name for one of them
	@$(BIN)/python -m e2e.bench $(if $(ONLY),--only $(ONLY))

doctor: $(SETUP) ## Say what this machine lacks
	@$(BIN)/python -m e2e.ground doctor

clean: ## Remove what was installed and generated here (built programs stay in the cache)
	rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache .hypothesis
