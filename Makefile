# One command for each thing. `make` alone lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo setup up down status doctor test test-gpu faults lint fmt bench bench-skipping bench-decode bench-mutations evaluate docs clean setup-dev

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/python -m deploy.local
# T: a folder or file for `make test T=tests/unit`

help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## set up everything, start the stack if none is up, send a clip through it, print the result
	@$(RUN) demo

setup: ## make the Python environment in .venv (again only when requirements changed)
	@PYTHON="$(PYTHON)" deploy/local/setup.sh "$(VENV)" requirements.txt

setup-dev: ## the same, and what tests and checks need
	@PYTHON="$(PYTHON)" deploy/local/setup.sh "$(VENV)" requirements.txt deploy/requirements/dev.txt

up: setup ## start the embedded stack and stay in the foreground; Ctrl-C stops it
	@$(RUN) up

down: ## stop the embedded stack
	@$(RUN) down

status: ## what runs, and where
	@$(RUN) status

doctor: ## what this machine has, and what to do about what it lacks
	@$(RUN) doctor

test: setup-dev ## run all tests on an embedded stack of their own, in two processes side by side; T=path for some
ifdef T
	@$(BIN)/python -m pytest $(T)
else
	@told=$$(mktemp); trap 'rm -f "$$told"' EXIT; \
	$(BIN)/python -m pytest tests/unit tests/contract tests/architecture >"$$told" 2>&1 & small=$$!; \
	$(BIN)/python -m pytest tests/integration tests/e2e; large_failed=$$?; \
	wait $$small; small_failed=$$?; \
	cat "$$told"; \
	exit $$((large_failed || small_failed))
endif

test-gpu: setup-dev ## run what needs an NVIDIA GPU, and fail where there is none
	@$(BIN)/python -m pytest --gpu -m gpu tests/unit

lint: setup-dev ## check style, types, import borders and sizes; change nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/architecture

fmt: setup-dev ## rewrite the code in the one style
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

faults: setup-dev ## kill, freeze and flush parts of a stack, and judge its history; SEED=1 MINUTES= FAULTS=kill-child,...
	@$(BIN)/python -m bench.faults $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(FAULTS),--faults $(FAULTS)) $(if $(SCALE),--scale $(SCALE)) $(if $(OUT),--out $(OUT))

bench: setup ## measure the queue; prints a table, then one JSON line
	@$(BIN)/python -m bench

evaluate: setup ## measure the quality of the five systems; writes docs/evaluation, prints every figure with its bar
	@$(BIN)/python -m pipeline evaluate $(SYSTEMS) --readme README.md

bench-skipping: setup ## measure what skipping frames costs in answers; writes docs/figures/skipping.svg
	@mkdir -p docs/figures
	@$(BIN)/python -m bench.skipping --plot docs/figures/skipping.svg

bench-decode: setup-dev ## measure what frames cost against decoding everything; PARTS="methods cage" ROWS="hevc|stride 60" REPETITIONS=3 PEERS=1
	@$(BIN)/python -m bench.decode $(PARTS) $(if $(ROWS),--rows "$(ROWS)") $(if $(REPETITIONS),--repetitions $(REPETITIONS)) $(if $(PEERS),--peers)

bench-mutations: setup-dev ## open ten thousand spoiled files in the cage, and files that name others; SEED=1 COUNT=10000
	@$(BIN)/python -m bench.mutations $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

docs: setup-dev ## run the commands that README.md prints, as printed, and check the documents
	@$(BIN)/python -m pytest -q tests/architecture tests/e2e/test_readme.py

clean: ## throw away data, logs and keys of the embedded stack, and every cache
	@if [ -x $(BIN)/python ]; then $(RUN) clean; else rm -rf .local; fi
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
