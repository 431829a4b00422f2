# Two commands: `make demo` sets everything up and runs the whole loop for a minute; `make test` runs all tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
INSTALL := $(PYTHON) .environment/install.py
# The wheels' bootstrapper would start every Python of the environment again unless told that it has run.
BIN := $(VENV)/bin

.PHONY: help setup demo test lint colcon clean
help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup:  ## make the virtual environment .venv
	@$(INSTALL) $(VENV) ros-kilted.txt runtime.txt

demo: setup  ## emulated hand, driver, touch, policy, profiler: one minute, then a report
	@$(BIN)/allegro-demo $(ARGS)

lint: setup
	@$(INSTALL) $(VENV) ros-kilted.txt runtime.txt test.txt
	$(BIN)/ruff check .
	$(BIN)/mypy -p allegro_description -p allegro_driver -p allegro_ai -p allegro_bench -p allegro_bringup

test: lint  ## ruff, mypy, all tests on ROS 2 Kilted, then the graph tests on Jazzy
	ALLEGRO_REQUIRE_GRAPH=1 $(BIN)/python -m pytest -q
	@$(INSTALL) $(VENV)-jazzy ros-jazzy.txt runtime.txt test.txt
	ALLEGRO_REQUIRE_GRAPH=1 $(VENV)-jazzy/bin/python -m pytest -q -m graph

colcon:  ## build and test the six packages as a ROS workspace does
	@$(INSTALL) $(VENV)-colcon ros-kilted.txt runtime.txt test.txt colcon.txt --no-packages
	. $(VENV)-colcon/bin/activate && colcon build && . install/setup.sh && colcon test && colcon test-result

clean:  ## remove environments and build results, keep runs
	rm -rf .venv .venv-jazzy .venv-colcon build install log
