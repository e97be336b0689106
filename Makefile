# Everything a developer runs. `make` alone prints the list.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

# Handed on to the command behind a target: make serve ARGS="--port 9000 --data-dir DIR"
ARGS ?=
# Most tests wait for servers to start, so that more workers than cores help; make test PYTEST_ARGS="-k resume"
# A worker that has nothing left takes over from another.
PYTEST_ARGS ?= -n 4 --dist worksteal
UV ?= uv
CLIENT := clients/typescript
# What is compared with, and brings other versions along than ours.
LITELLM := .venv-litellm
PAGE := web

.PHONY: help
help: ## Print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

.PHONY: serve
serve: $(VENV)/.core $(VENV)/.project $(PAGE)/node_modules/.page ## Run the server; flags in ARGS="--port 9000 --data-dir DIR"
	@exec $(BIN)/fairlead serve $(ARGS)

.PHONY: test
test: system-packages $(VENV)/.dev $(VENV)/.sdks $(VENV)/.project tests/js/node_modules/.installed
test: $(CLIENT)/dist/.built $(PAGE)/node_modules/.page ## Run every test; pytest flags in PYTEST_ARGS
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/.dev $(VENV)/.sdks $(VENV)/.project
check: $(CLIENT)/dist/.built $(PAGE)/node_modules/.installed ## Check format, lint, types and import contracts
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@npm run --prefix $(CLIENT) --silent check
	@npm run --prefix $(PAGE) --silent check

.PHONY: format
format: $(VENV)/.dev ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

.PHONY: page
page: $(PAGE)/node_modules/.page ## Build the page that the server serves

.PHONY: screenshots
screenshots: system-packages $(VENV)/.dev $(VENV)/.project tests/js/node_modules/.installed
screenshots: $(PAGE)/node_modules/.page ## Take pictures of the page into docs/images
	@$(BIN)/python -m tests.page.screenshots $(ARGS)

.PHONY: bench
bench: $(VENV)/.bench $(VENV)/.project $(LITELLM)/.installed ## Measure; choose workloads with ARGS
	@$(BIN)/python -m bench $(ARGS)

.PHONY: litellm
litellm: $(LITELLM)/.installed ## Install LiteLLM, which the relay is compared with

.PHONY: soak
soak: $(VENV)/.bench $(VENV)/.project ## Run for hours under load and faults; flags in ARGS
	@$(BIN)/python -m bench soak $(ARGS)

# Core first: the other locks are held to its versions, so that one environment serves all.
# No header and no index: a lock records what to install, not where it came from.
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml
# LiteLLM's own, apart from ours: from this list alone.
COMPILE_LITELLM = echo "litellm[proxy]>=1.106" | $(UV) pip compile --quiet --universal \
	--generate-hashes --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
	--no-emit-find-links -
.PHONY: lock
lock: ## Resolve the dependencies anew (needs uv); LOCK_ARGS=--upgrade for new versions
	@echo "Locking: requirements.lock, requirements-{dev,bench,sdks,litellm}.lock"
	@$(COMPILE) $(LOCK_ARGS) --group build --output-file requirements.lock
	@$(COMPILE) $(LOCK_ARGS) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	@$(COMPILE) $(LOCK_ARGS) --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	@$(COMPILE) $(LOCK_ARGS) --group sdks --constraint requirements-dev.lock --output-file requirements-sdks.lock
	@$(COMPILE_LITELLM) $(LOCK_ARGS) --output-file requirements-litellm.lock

.PHONY: proto
proto: $(VENV)/.dev ## Generate src/fairlead/v1 anew from proto/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/buf generate --template proto/buf.gen.yaml proto

.PHONY: clean
clean: ## Remove the environment, installed packages, caches and build results
	@rm -rf $(VENV) $(LITELLM) tests/js/node_modules $(CLIENT)/node_modules $(CLIENT)/dist \
		$(PAGE)/node_modules $(PAGE)/dist build dist \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments ---------------------------------------------------------------------------
# A stamp file marks each finished step, so a second run is instant and a changed lock installs.

$(VENV)/.created:
	@set -e; python=$$(scripts/find-python); \
	minor=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	scripts/system-packages "python$$minor-venv=$$python -c 'import ensurepip, venv'"; \
	echo "Creating $(VENV) with Python $$minor"; \
	$$python -m venv --clear $(VENV)
	@touch $@

$(VENV)/.core: requirements.lock | $(VENV)/.created
	@echo "Installing requirements.lock"
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.created
	@echo "Installing requirements-dev.lock"
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.sdks: requirements-sdks.lock | $(VENV)/.created
	@echo "Installing requirements-sdks.lock"
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.bench: requirements-bench.lock | $(VENV)/.created
	@echo "Installing requirements-bench.lock"
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(LITELLM)/.installed: requirements-litellm.lock
	@python=$$(scripts/find-python) && $$python -m venv --clear $(LITELLM)
	@echo "Installing requirements-litellm.lock into $(LITELLM)"
	@$(LITELLM)/bin/python -m pip --quiet --disable-pip-version-check --no-input \
		install --require-hashes -r $<
	@touch $@

# Every target that wants the project asks for one of the locks first: hatchling comes from there.
$(VENV)/.project: pyproject.toml | $(VENV)/.created
	@echo "Installing fairlead itself, editable"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json
	@command -v npm >/dev/null || { echo "The tests need Node 20 or later, with npm." >&2; exit 1; }
	@echo "Installing the tests' npm packages"
	@npm ci --prefix tests/js --silent --no-audit --no-fund --ignore-scripts
	@touch $@

$(CLIENT)/node_modules/.installed: $(CLIENT)/package.json $(CLIENT)/package-lock.json
	@command -v npm >/dev/null || { echo "The TypeScript client needs Node 20 or later, with npm." >&2; exit 1; }
	@echo "Installing the TypeScript client's npm packages"
	@npm ci --prefix $(CLIENT) --silent --no-audit --no-fund --ignore-scripts
	@touch $@

$(CLIENT)/dist/.built: $(CLIENT)/node_modules/.installed $(wildcard $(CLIENT)/tsconfig*.json) \
		$(wildcard $(CLIENT)/src/*.ts $(CLIENT)/src/*/*.ts $(CLIENT)/src/*/*.tsx)
	@echo "Building the TypeScript client"
	@rm -rf $(CLIENT)/dist
	@npm run --prefix $(CLIENT) --silent build
	@touch $@

$(PAGE)/node_modules/.installed: $(PAGE)/package.json $(PAGE)/package-lock.json
	@command -v npm >/dev/null || { echo "The page is built with Node 20 or later, with npm." >&2; exit 1; }
	@echo "Installing the page's npm packages"
	@# Not `npm ci`, which insists on other systems' builds of Tailwind's engine being in the lock.
	@npm install --no-save --prefix $(PAGE) --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# The stamp lies apart from what is built: all of that goes into the wheel.
$(PAGE)/node_modules/.page: $(PAGE)/node_modules/.installed $(CLIENT)/dist/.built \
		$(wildcard $(addprefix $(PAGE)/,index.html vite.config.ts tsconfig.json public/* src/* src/*/*))
	@echo "Building the page"
	@npm run --prefix $(PAGE) --silent build -- --logLevel warn
	@touch $@

.PHONY: system-packages
system-packages:
	@scripts/system-packages "nginx=command -v nginx" "caddy=command -v caddy" \
		"chromium=command -v chromium" "sqlite3=command -v sqlite3" "openssl=command -v openssl" \
		"jq=command -v jq"
