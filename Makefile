# make quickstart   environment, training on handwritten digits, export, a prediction
# make test         environment, all tests that it has everything for
# make test-peers   environments of other programs, tests that compare with them
# make lint         style, formatting, types, import rules
# make fuzz         mutated input for every command; FUZZ="--seed 1 --cases 200 --only images" passes options on
# make bench        speed and memory beside PyTorch, in runs/speed; BENCH="--quick" passes options on
# make server       multi-model-server in an environment of its own, for exports with --archive; it needs Java
# make environments every environment of this file
# make readers      which programs read an export's ONNX files; READ="--verbose" passes options on
# PYTHON=python3.10 chooses the Python of a new environment.

VENV := .venv
BIN := $(VENV)/bin
RUN := runs/quickstart
PEERS := .venv-bench
READERS := .venv-readers
SERVER := .venv-server
BENCH :=
READ :=
FUZZ :=
# Two processes of tests; more would need as many cores and 4 GB each.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: venv environments quickstart test test-fast test-peers fuzz lint format bench peers readers server clean

venv: $(VENV)/.installed

$(VENV)/.installed: setup.py pyproject.toml requirements/py38-py311.txt requirements/py312.txt requirements/make_venv.sh
	PYTHON="$(PYTHON)" sh requirements/make_venv.sh $(VENV)
	touch $@

quickstart: venv
	rm -rf $(RUN)
	$(BIN)/python train_imagenet.py --save-dir $(RUN)
	$(BIN)/a2net export a2net_resnet20_small --params $(RUN)/best.params --output $(RUN)/export/digits
	$(BIN)/a2net digits $(RUN)/images
	$(BIN)/a2net predict $(RUN)/export/digits --top 2 $(RUN)/images/val/3/1438.png $(RUN)/images/val/7/1442.png
	@echo
	@echo "trained network   $(RUN)/best.params"
	@echo "log and curves    $(RUN)/log.txt, $(RUN)/curves.png"
	@echo "exported network  $(RUN)/export/digits-symbol.json, digits-0000.params, digits.json"
	@echo "images to predict $(RUN)/images/val/<digit>/"

test: venv
	$(PYTEST) -m "not peers"

test-fast: venv
	$(PYTEST) -m "not slow and not peers"

test-peers: environments
	$(PYTEST) -m peers

fuzz: venv
	$(BIN)/python -m tests.fuzz $(FUZZ)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The peers need an environment of their own. TORCH_INDEX names an index with PyTorch's small builds for the CPU.
peers: $(PEERS)/.installed

$(PEERS)/.installed: requirements/bench.txt | venv
	rm -rf $(PEERS)
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r $<
	touch $@

bench: venv peers
	$(BIN)/python -m benchmarks.speed $(BENCH)

$(READERS)/.installed: requirements/readers.txt | venv
	rm -rf $(READERS)
	$(BIN)/python -m venv $(READERS)
	$(READERS)/bin/python -m pip install --disable-pip-version-check -r $<
	touch $@

readers: venv $(READERS)/.installed
	$(BIN)/python -m benchmarks.readers $(READ)

server: $(SERVER)/.installed

$(SERVER)/.installed: requirements/server.txt requirements/make_venv.sh | venv
	PYTHON="$(PYTHON)" sh requirements/make_venv.sh $(SERVER)
	$(SERVER)/bin/python -m pip install --disable-pip-version-check -r $<
	touch $@

environments: venv peers server $(READERS)/.installed

clean:
	rm -rf $(VENV) $(PEERS) $(READERS) $(SERVER) runs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
