# Each target is one program; .ci/setup installs what it needs first and is silent when nothing is missing.
VENV := .venv/bin
OUT  ?= out

.PHONY: help demo test check bench clean

help:
	@echo "make demo    boot a rack of three machines and show how it went (root)"
	@echo "make test    every tier of tests (root)"
	@echo "make check   linters, types, layers and the tests that need no root"
	@echo "make bench   side by side with dnsmasq, tftpd-hpa, NSD and ignition-validate (root)"
	@echo "make clean   remove what these made in this folder, and what a killed run left on this machine"

demo:
	@.ci/setup
	@$(VENV)/kubeception run scenarios/performance/rack-boot.yaml --out $(OUT)/demo

test:
	@.ci/setup
	@$(VENV)/pytest --durations=30 -m "unit or integration or net or vm or cluster"

check:
	@.ci/setup
	@$(VENV)/pytest

bench:
	@.ci/setup
	@$(VENV)/python -m benchmarks

clean:
	@test ! -x $(VENV)/kubeception || $(VENV)/kubeception gc
	@rm -rf .venv $(OUT) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
