# Two commands on a bare machine: `make demo` and `make test`. Each does its own set-up and is fast when repeated.
#
#   make demo                    see it work: servers, training, classification (TORCH_INDEX=… to choose torch's build)
#   make test                    all tests except the slow ones, three files at a time (TEST_JOBS=4)
#   make test-slow               the slow ones, then the property tests with new random inputs
#   make faults                  the full fault injection suite: kills, outages, poison tickets (FAULT_ARGS="--seed 7 --only Redis")
#   make soak                    ten minutes of kills, freezes, promotions and runs under traffic (SOAK_ARGS="--seconds 60 --seed 7")
#   make hostile                 hostile clients against a gateway, for a minute each, with a table (HOSTILE_ARGS="--only login")
#   make mutations               plant faults in the source one by one; the tests must catch each (MUTATION_ARGS="--only window")
#   make bench-check             the engine's speed-up over the HF pipeline, compared with a kept run (BENCH_BEFORE=….json)
#   make lint · make check       ruff, mypy --strict, import-linter, docs, secrets, pip-audit · lint and test
#   make reference               write the generated parts of docs/reference from the code
#   make docs                    build the documentation as a site; a broken link is an error
#   make release                 wheel and sdist in dist/, each installed and tested
#   make clean                   remove build products; `make distclean` also removes models, results and servers' data

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_JOBS ?= 3
FAULT_ARGS ?=
SOAK_ARGS ?=
MUTATION_ARGS ?=
HOSTILE_ARGS ?=
BENCH_BEFORE ?= docs/measurements/engine-check.json

export OMP_WAIT_POLICY ?= PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each of pytest's processes would compile all tests again: 27 s of processor time to collect them instead of 16 s.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-slow faults soak hostile mutations bench-check lint lint-types lint-files lint-audit check reference docs release clean distclean

demo: $(VENV)/.demo
	@"$(BIN)/triagem" demo $(DEMO_ARGS)

# One thread per process: the BLAS threads of three processes on two cores wait for each other
# (tests/unit/test_label_errors.py: 15.7 s of processor time, 9.2 s with one thread).
test test-slow: export OMP_NUM_THREADS ?= 1

# In the order of their names: the few long tests of tests/e2e come first, and the processes end together. Three on
# two cores: end-to-end tests mostly wait.
test: $(VENV)/.dev
	@rm -f .pytest_cache/v/cache/lastfailed
	@"$(BIN)/pytest" -q -m "not slow" -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder $(TEST_ARGS) \
		|| { test $$? = 1 && "$(BIN)/python" .ci/run_again.py; }

test-slow: $(VENV)/.dev
	@"$(BIN)/pytest" -q -m slow $(TEST_ARGS)
	@HYPOTHESIS_PROFILE=random "$(BIN)/pytest" -q -m hypothesis $(TEST_ARGS)

faults: $(VENV)/.dev
	@"$(BIN)/python" -m tests.faults $(FAULT_ARGS)

soak: $(VENV)/.dev
	@"$(BIN)/python" -m tests.soak $(SOAK_ARGS)

hostile: $(VENV)/.dev
	@"$(BIN)/python" -m tests.hostile $(HOSTILE_ARGS)

mutations: $(VENV)/.dev
	@"$(BIN)/python" -m tests.mutations $(MUTATION_ARGS)

bench-check: $(VENV)/.dev
	@mkdir -p build && "$(BIN)/python" -m bench engine --model minilm --device cpu --texts 96 --json > build/engine.json
	@"$(BIN)/python" -m bench.compare "$(BENCH_BEFORE)" build/engine.json

lint: $(VENV)/.dev
	@$(MAKE) --no-print-directory -j3 lint-types lint-files lint-audit

lint-types: $(VENV)/.dev
	@"$(BIN)/mypy"

lint-files: $(VENV)/.dev
	@"$(BIN)/ruff" check . && "$(BIN)/ruff" format --check . && "$(BIN)/lint-imports" --no-logo \
		&& "$(BIN)/python" .ci/layout.py && "$(BIN)/python" .ci/vocabulary.py && "$(BIN)/python" .ci/docs.py \
		&& "$(BIN)/python" .ci/reference --check

# Waits for the network up to 15 s.
lint-audit: $(VENV)/.dev
	@"$(BIN)/python" .ci/audit.py

check: lint test

reference: $(VENV)/.dev
	@"$(BIN)/python" .ci/reference

docs: $(VENV)/.dev
	@"$(BIN)/sphinx-build" -q -n -W --keep-going -c docs . build/docs && echo "build/docs/docs/index.html"

release: $(VENV)/.dev
	@rm -rf dist && "$(BIN)/python" -m hatchling build -t sdist -t wheel -d dist && ls -l dist
	@TRIAGEM_DIST="$(CURDIR)/dist" "$(BIN)/pytest" -q tests/e2e/test_release.py

clean:
	@rm -rf "$(VENV)" build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

distclean:
	@test ! -x "$(BIN)/python" || "$(BIN)/python" -c "from triagem.servers import STACK_FOLDER; from triagem.stack import LocalStack; LocalStack(STACK_FOLDER).erase()"
	@rm -rf models .triagem && $(MAKE) -s clean

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set its path: make PYTHON=/path/to/python3"; exit 1; }
	@echo "▸ create a virtual environment in $(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)" || { echo "Python's venv module is needed (Debian, Ubuntu: apt install python3-venv)"; exit 1; }

# torch alone, so that an index can be set for it: on Linux the default index has the CUDA build, gigabytes that a
# machine without a GPU does not need. https://download.pytorch.org/whl/cpu has the CPU build.
$(VENV)/.torch: $(VENV)/bin/python
	@echo "▸ install torch, 200 MB for the CPU build (make TORCH_INDEX=https://download.pytorch.org/whl/cpu chooses it)"
	@began=$$(date +%s); "$(BIN)/python" -m pip install -q $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "torch>=2.6,<2.14" \
		&& touch "$@" && echo "  $$(($$(date +%s) - began)) s"

$(VENV)/.demo: pyproject.toml $(VENV)/.torch
	@echo "▸ install Triagem with transformers, celery, and Redis and Postgres servers"
	@began=$$(date +%s); "$(BIN)/python" -m pip install -q -e ".[demo]" && touch "$@" && echo "  $$(($$(date +%s) - began)) s"

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	@echo "▸ install Triagem with everything, and the tools for tests and lint"
	@began=$$(date +%s); "$(BIN)/python" -m pip install -q -e ".[dev]" && touch "$@" "$(VENV)/.demo" && echo "  $$(($$(date +%s) - began)) s"
