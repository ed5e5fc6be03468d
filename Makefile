# Each target makes the environment it needs and prints what it is doing. Needs Python 3.11 or newer, and no root.

PYTHON ?= python3
EXTRAS ?= dev
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
DATA   := $(wildcard ../shared/data)
TENSORRT_API := 10.16.1.11 11.4.0.106
export USASSIST_DATA ?= $(if $(DATA),$(abspath $(DATA)))

.DEFAULT_GOAL := help
.PHONY: help replay rerun references golden-pictures demo demo-clips test test-long lint docs renew clips fuzz kill-builds kill-recordings tensorrt-api train-smoke wheel bench-peers soak clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

replay: $(VENV)/.installed  ## the main job on the bundled clip
	@echo "==> replaying the bundled clip: crop, engine, bus, recorder, overlay video"
	@$(BIN)/usassist replay demo --overlay-video

rerun: $(VENV)/.installed  ## the reference sessions through the pipeline again, compared with what was recorded
	@rm -rf out/rerun
	@for name in sweep interrupted changing; do \
	  echo "==> running the reference session $$name again"; \
	  $(BIN)/usassist rerun tests/golden/sessions/$$name --diff --out out/rerun/$$name || exit 1; done

references: $(VENV)/.installed-$(EXTRAS)  ## record the reference sessions that are missing; AGAIN=1 records all again and compares
	@echo "==> recording the reference sessions below tests/golden/sessions"
	@$(BIN)/python -m tests.golden.sessions.make $(if $(AGAIN),--again)

golden-pictures: $(VENV)/.installed-$(EXTRAS)  ## draw the golden pictures of the overlay window again; look at them before a commit
	@echo "==> drawing the pictures below tests/golden/overlay"
	@$(BIN)/python -m tests.golden.overlay.make

demo: $(VENV)/.installed  ## the demo page in the browser
	@$(BIN)/usassist demo

demo-clips: $(VENV)/.installed  ## render the simulated clips and the picture in demo/ again, from their seeds
	@echo "==> rendering the simulated clips (about three minutes)"
	@$(BIN)/python -m tools.demo_clips

test: $(VENV)/.installed-$(EXTRAS)  ## the tests, two at a time; JOBS=4 for more, JOBS=0 one by one
	@echo "==> running the tests"
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-long: $(VENV)/.installed-$(EXTRAS)  ## the tests that `make test` leaves out because they take long
	@echo "==> running the long tests"
	@$(BIN)/python -m pytest -m long $(PYTEST_ARGS)

lint: $(VENV)/.installed-$(EXTRAS)  ## ruff, mypy, import contracts
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "==> mypy"
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then $(BIN)/mypy; else \
	  echo "    usassist/training is left out, because torch is not installed; make lint EXTRAS=dev,train,eval checks it too"; \
	  $(BIN)/mypy --exclude '^usassist/training/' usassist; fi
	@echo "==> import contracts"
	@$(BIN)/lint-imports

docs: $(VENV)/.installed-docs,dicom  ## the pages and the reference of all modules, into out/docs; a broken reference is an error
	@echo "==> building the pages into out/docs"
	@rm -rf out/docs out/reference
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --jobs $(JOBS) --conf-dir docs/site . out/docs
	@echo "    open out/docs/index.html in a browser"

renew: $(VENV)/.installed  ## what is generated in docs: the picture and table of the architecture, the lists of commands and modalities
	@$(BIN)/python -m tools.architecture --picture docs/pictures/architecture.svg --page docs/architecture.md
	@$(BIN)/python -m tools.commands_page
	@$(BIN)/python -m tools.modality_table

clips: $(VENV)/.installed-$(EXTRAS)  ## play every real clip below USASSIST_DATA, and report
	@test -n "$(USASSIST_DATA)" || { echo "USASSIST_DATA names no folder; set it to the folder with the data sets" >&2; exit 1; }
	@echo "==> playing every clip of ultrasound_clips_lung and ultrasound_clips_itkpocus in its own time"
	@$(BIN)/python -m tests.replay.every_clip $(USASSIST_DATA)/ultrasound_clips_lung $(USASSIST_DATA)/ultrasound_clips_itkpocus

fuzz: $(VENV)/.installed-$(EXTRAS)  ## 100,000 corrupted messages through everything that reads the bus
	@echo "==> reading 100,000 messages that were corrupted in every way, some over a socket"
	@$(BIN)/python -m pytest tests/unit/bus/test_fuzz.py

kill-builds: $(VENV)/.installed-$(EXTRAS)  ## kill builds of the shipped engine's plan, and check what is left (needs the extra tensorrt-rtx)
	@echo "==> killing 20 builds with TensorRT for RTX at moments spread over a build"
	@$(BIN)/python -m tests.engines.kill_builds thyroid_nodule tensorrt-rtx

kill-recordings: $(VENV)/.installed-$(EXTRAS)  ## kill the recorder of a live stream, and check what can be read
	@echo "==> killing 20 recorders of a live stream at random moments"
	@$(BIN)/python -m tests.replay.kill_recordings

tensorrt-api: $(TENSORRT_API:%=$(VENV)/tensorrt-api/%)  ## the Python names of TensorRT 10 and 11, for the test that compares ours with them

train-smoke: $(VENV)/.installed-train  ## two epochs of the first run of the engine's recipe, on the data sets below USASSIST_DATA
	@test -n "$(USASSIST_DATA)" || { echo "USASSIST_DATA names no folder; set it to the folder with the data sets" >&2; exit 1; }
	@echo "==> training for two epochs and exporting; the run is the test, its result is useless"
	@$(BIN)/usassist train recipes/thyroid_nodule_0.4_first.toml --epochs 2 --out out/train-smoke

wheel: $(VENV)/.installed-$(EXTRAS)  ## build dist/*.whl and try it in an empty environment
	@echo "==> building the wheel and replaying the bundled clip with it in an environment of its own"
	@$(BIN)/python -m build --wheel --outdir dist .
	@sh tests/try_wheel.sh

soak: $(VENV)/.installed-$(EXTRAS)  ## 100,000 frames with faults, viewers that come and go, and recordings
	@echo "==> running for about a quarter of an hour; see docs/performance.md"
	@$(BIN)/usassist bench soak $(SOAK_ARGS)

bench-peers: $(VENV)/.installed-$(EXTRAS)  ## the same ONNX file and clip through pyFAST, a plain loop, and usassist (bench/peers)
	@$(BIN)/python -m bench.peers
	@$(BIN)/python -m bench.peers --precision int8

clean:  ## remove what the targets have made
	rm -rf $(VENV) bench/peers/.venv dist build out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@echo "==> making the environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "usassist needs Python 3.11 or newer, and $(PYTHON) is older; name another with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 cannot make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/tensorrt-api/%: | $(VENV)/bin/python
	@echo "==> fetching the Python names of TensorRT $* (nothing can be run with them)"
	@rm -rf $@.part
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --no-compile \
	  --target $@.part tensorrt_cu13_bindings==$*
	@mv $@.part $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> installing usassist and what it needs (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/python -m usassist.common.missing_library
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	@echo "==> installing what this needs besides ($*)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@
