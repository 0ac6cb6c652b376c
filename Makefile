# Every task of the project. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PYTHONPATH := operator:.
export PYTHONDONTWRITEBYTECODE := 1
VENV = $$(hack/venv)

.PHONY: help
help: ## list the tasks
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## make the Python environment and print where it is
	@hack/venv

.PHONY: demo
demo: ## start everything on this machine, apply the examples, show each promise (DEMO_EXIT=1: then stop)
	@venv=$(VENV) && PATH="$$venv/bin:$$PATH" exec "$$venv/bin/python" -m hack.demo

.PHONY: test
test: check ## everything: checks, unit tests, and all tests on a real API server and real brokers
	@venv=$(VENV) && "$$venv/bin/python" -m tests.lab build && "$$venv/bin/python" -m pytest tests

.PHONY: check
check: ## linters, types, import rules, stale generated files
	@venv=$(VENV) && export PATH="$$venv/bin:$$PATH" && \
	  echo "ruff" && ruff check --quiet . && ruff format --quiet --check . && \
	  echo "mypy" && mypy --no-error-summary && \
	  echo "import-linter" && { found=$$(lint-imports --no-cache 2>&1) || { echo "$$found"; exit 1; }; } && \
	  echo "generated files" && python -m hack.generate --check

.PHONY: unit
unit: ## the tests that need no server
	@venv=$(VENV) && "$$venv/bin/python" -m pytest tests/unit tests/engine

.PHONY: e2e
e2e: ## the tests with real servers only
	@venv=$(VENV) && "$$venv/bin/python" -m tests.lab build && "$$venv/bin/python" -m pytest tests/kube tests/contract tests/chart tests/e2e

.PHONY: generate
generate: ## write crds/, what the chart holds of them, docs/api.md, docs/fields.md and tables from the code
	@venv=$(VENV) && "$$venv/bin/python" -m hack.generate

.PHONY: manifests
manifests: ## write build/channel-operator.yaml from the chart, to install without Helm (ARGS="--set ...": values)
	@venv=$(VENV) && "$$venv/bin/python" -m hack.manifests --output build/channel-operator.yaml $(ARGS)

.PHONY: format
format: ## format the code
	@venv=$(VENV) && "$$venv/bin/ruff" format . && "$$venv/bin/ruff" check --fix .

.PHONY: bench
bench: ## measure against the raw limit of the servers (fails above 1.6 times or on a steady-state write)
	@venv=$(VENV) && "$$venv/bin/python" -m tests.lab build && "$$venv/bin/python" -m tests.bench

.PHONY: lab
lab: ## start the lab (Kubernetes API server, RabbitMQ) and print how to reach it
	@venv=$(VENV) && "$$venv/bin/python" -m tests.lab up

.PHONY: lab-down
lab-down: ## stop the lab
	@venv=$(VENV) && "$$venv/bin/python" -m tests.lab down

.PHONY: image
image: ## build the container image, tell its size and contents (needs docker or podman; ARGS="--build-arg=BASE=...")
	@venv=$(VENV) && "$$venv/bin/python" -m hack.image $(ARGS)

.PHONY: kind-demo
kind-demo: ## a local cluster with kind: image, chart, a RabbitMQ in it, the examples (needs kind, kubectl, helm, docker or podman)
	@hack/kind-demo

.PHONY: lock
lock: ## renew requirements/*.txt from requirements/*.in (needs uv)
	@command -v uv >/dev/null || { echo "uv is needed: pip install uv" >&2; exit 1; }
	@for f in runtime dev clients; do uv pip compile -q --generate-hashes --no-emit-index-url --no-annotate --universal --python-version 3.11 \
	  --custom-compile-command "make lock" requirements/$$f.in -o requirements/$$f.txt; done
