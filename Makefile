# Two commands: `make run` and `make test`. Each first brings in what this machine lacks (sandbox/provision.py).
.DEFAULT_GOAL := help
.PHONY: help run test check bench campaigns changelog clean
MAKEFLAGS += --no-print-directory

# The system's own python3 provisions: .venv does not exist yet, or may be half made.
PYTHON ?= python3
PROVISION = $(PYTHON) -m sandbox.provision
VENV = .venv/bin

# auto: the software card in a private card daemon, or in process; real: the reader and card on this machine.
READER ?= auto
# 1: the broker behind nginx under https://localhost:8443, client certificates at :8444.
TLS ?=
# Further options of `python -m sandbox run`, e.g. make run ARGS="--bank-port 9001".
ARGS ?=
# What pytest is given, e.g. make test TESTS=tests/house.
TESTS ?=
# How many test processes share the files between them.
# One more than there are cores: programs and browsers are waited for.
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: ## install what is missing, then start everything (READER=real: your own reader; TLS=1: by https)
	@$(PROVISION) run$(if $(filter 1,$(TLS)),-tls)
	@exec $(VENV)/python -m sandbox run --reader $(READER) $(if $(filter 1,$(TLS)),--tls) $(ARGS)

test: ## every test, with the real card daemon, browser and database where they can be had
	@$(PROVISION) test
	@$(VENV)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(TESTS)

check: ## static checks: form, types, architecture, licences, locks, documents
	@$(PROVISION) check
	@$(VENV)/ruff check --quiet .
	@$(VENV)/ruff format --check --quiet .
	@$(VENV)/mypy --no-error-summary
	@$(VENV)/lint-imports --verbose > .venv/lint-imports.log 2>&1 || { cat .venv/lint-imports.log; exit 1; }
	@$(VENV)/python .ci/dependencies.py
	@$(VENV)/python -m sphinx -W --keep-going -q docs docs/_build/en
	@$(VENV)/python -m sphinx -W --keep-going -q -D language=ja docs docs/_build/ja
	@echo "check: all clear"

bench: ## print every figure that the README may quote
	@$(PROVISION) test
	@$(VENV)/python -m bench
	@$(VENV)/python -m bench.provider
	@$(VENV)/python -m bench.trust
	@$(VENV)/python -m bench.keys
	@$(VENV)/python -m bench.register --entries 100000
	@$(VENV)/python -m bench.people
	@$(VENV)/python -m bench.delegation

campaigns: ## the long forms of the tests: mutated evidence, hostile cards and forms, faults, the provider, races, pairs of residents (hours)
	@$(PROVISION) test
	@for campaign in mutated_evidence sealed_documents hostile_card agent faults bombs provider races link_pairs register_kills seal_kills; do \
		echo "campaign: $$campaign"; $(VENV)/python -m tests.campaigns.$$campaign || exit 1; \
	done

changelog: ## print what the next release would say, from changelog.d/
	@$(PYTHON) .ci/changelog.py

clean: ## stop what runs, then remove .venv, .sandbox and what the tools left
	@$(PROVISION) clean
