# Two commands are the whole set-up: `make demo` and `make test`. Both need Python 3.11 or newer and make, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
MARK := .venv/.made
EXAMPLE := examples/digits
MODELSCAN := .venv-modelscan
MODELAUDIT := .venv-modelaudit
AWSCLI := .venv-awscli
GRADIENT := .venv-gradient
GRADIENT_1 := .venv-gradient-1
MLFLOW := .venv-mlflow

# Where programs do not keep what they compiled, each of the hundreds of processes of the tests would compile ours anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all lint bench capacity chaos cage fuzz trust upgrade conformance compose-bare protos reference dashboard clean

demo: $(MARK)/base            ## set up, ingest the example run, and show what was registered
	$(BIN)/modelport ingest $(EXAMPLE) --project examples --experiment digits
	$(BIN)/modelport models show digits --project examples

test: $(MARK)/test            ## set up and pass the tests, as any user, with what wheels bring
	$(BIN)/pytest -n 2 -m "not slow"

test-all: $(MARK)/test $(GRADIENT)/.made $(GRADIENT_1)/.made $(MLFLOW)/.made    ## all tests, the slow ones too
	$(BIN)/pytest -n 2 -m "not alone"
	$(BIN)/pytest -m alone

lint: $(MARK)/test            ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(MARK)/test $(MODELSCAN)/.made $(AWSCLI)/.made    ## ratios against the tools of today, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

capacity: $(MARK)/test        ## what one core does, into docs/howto/capacity.md
	$(BIN)/python -m benchmarks.capacity --write

chaos: $(MARK)/test           ## faults at full length, told in figures; SCALE=0.1 for a tenth
	$(BIN)/python -m tests.chaos --scale $(or $(SCALE),1)

fuzz: $(MARK)/fuzz           ## every reader of foreign bytes for a minute, two at once; SECONDS=1800 for longer, ONLY=onnx for one
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(addprefix --only ,$(ONLY))

cage: $(MARK)/test            ## the sandbox of `modelport verify` at full length, told in figures; KILLS=20 for fewer
	$(BIN)/python -m tests.worker.cage --kills $(or $(KILLS),200)

trust: $(MARK)/test $(MODELSCAN)/.made $(MODELAUDIT)/.made    ## how often scanners are right, into benchmarks/trust/TRUST.md; MOST=50 for less
	$(BIN)/python -m benchmarks.trust $(if $(MOST),--most $(MOST))

upgrade: $(MARK)/test         ## rolling upgrades under load, told in figures; EACH=20 for shorter ones, FROM=COMMIT for another
	$(BIN)/python -m tests.upgrade --each $(or $(EACH),200) $(if $(FROM),--from $(FROM))

conformance: $(MARK)/test     ## the API against its own description, at length; EXAMPLES=100 for fewer requests
	EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/pytest tests/worker/api/test_conformance.py

compose-bare: $(MARK)/test    ## the commands of docker-compose.yml as plain processes, and one completion through them
	$(BIN)/python -m tests.compose

protos: $(MARK)/test          ## generate the modules of detectors/protos again
	$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. detectors/protos/*.proto

reference: $(MARK)/test       ## write docs/reference again from the program
	$(BIN)/python -m scripts.make_reference

dashboard: $(MARK)/test       ## write deploy/grafana/modelport.json again from scripts/make_dashboard.py
	$(BIN)/python -m scripts.make_dashboard

clean:                        ## remove what these commands made
	rm -rf .venv $(MODELSCAN) $(MODELAUDIT) $(AWSCLI) $(GRADIENT) $(GRADIENT_1) $(MLFLOW) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(MARK)/base: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "modelport needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	mkdir -p $(MARK) && touch $@

$(MARK)/test: $(MARK)/base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	touch $@

$(MARK)/fuzz: $(MARK)/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	touch $@

# modelscan wants other versions of what we use, so it has an environment of its own. Where it cannot be had, its rows say so.
$(MODELSCAN)/.made:
	$(PYTHON) -m venv $(MODELSCAN)
	$(MODELSCAN)/bin/python -m pip install --quiet --disable-pip-version-check 'modelscan[tensorflow]==0.8.8' \
	    && touch $@ || echo 'modelscan could not be installed'

# modelaudit likewise.
$(MODELAUDIT)/.made:
	$(PYTHON) -m venv $(MODELAUDIT)
	$(MODELAUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'modelaudit[onnx,h5]==0.2.54' \
	    && touch $@ || echo 'modelaudit could not be installed'

# The client of the original system wants libraries of its time.
$(GRADIENT)/.made:
	$(PYTHON) -m venv $(GRADIENT)
	$(GRADIENT)/bin/python -m pip install --quiet --disable-pip-version-check 'gradient==2.99.4' 'click<8.3'
	touch $@

$(GRADIENT_1)/.made:
	$(PYTHON) -m venv $(GRADIENT_1)
	$(GRADIENT_1)/bin/python -m pip install --quiet --disable-pip-version-check 'gradient==1.11.0' 'PyYAML==5.3.1' 'click==8.1.8'
	touch $@

# The MLflow server wants other versions of what we use.
$(MLFLOW)/.made:
	$(PYTHON) -m venv $(MLFLOW)
	$(MLFLOW)/bin/python -m pip install --quiet --disable-pip-version-check 'mlflow==3.17.2'
	touch $@

# The aws program wants a botocore of its own release. Where it cannot be had, its rows say so.
$(AWSCLI)/.made:
	$(PYTHON) -m venv $(AWSCLI)
	$(AWSCLI)/bin/python -m pip install --quiet --disable-pip-version-check 'awscli==1.46.3' \
	    && touch $@ || echo 'awscli could not be installed'
