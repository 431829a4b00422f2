# Two commands: `make demo` sets everything up and runs the whole loop for a minute, `make test` runs every check.
# Both work from a fresh clone, can be interrupted and repeated, and do again only what changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
INSTALL := @$(PYTHON) .environment/install.py
SUITE := allegro_description allegro_driver allegro_ai allegro_bench allegro_bringup
ARGS ?=

# What a sourced ROS or another environment leaves in the shell must not leak into these.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH VIRTUAL_ENV
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE ROS_DOMAIN_ID ROS_LOCALHOST_ONLY RMW_IMPLEMENTATION
export ALLEGRO_REQUIRE_GRAPH := 1

.DEFAULT_GOAL := help
.PHONY: help setup learning demo environments lint test test-jazzy colcon tables clean $(VENV)/test $(VENV)-jazzy/test

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/  make \1  /p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## the environment of `make demo` in .venv, nothing started
	$(INSTALL) $(VENV) ros-kilted.txt runtime.txt

learning:  ## what `allegro-ai train` and the optional inference engines need, into .venv
	$(INSTALL) $(VENV) ros-kilted.txt runtime.txt learning.txt

demo: setup  ## a minute of grasping on an emulated hand, measured; options: make demo ARGS="--duration 30 --seed 7"
	@$(VENV)/bin/allegro-demo $(ARGS)

environments:
	@SIDE_BY_SIDE=1 $(MAKE) --no-print-directory -j2 $(VENV)/test $(VENV)-jazzy/test

$(VENV)/test:
	$(INSTALL) $(VENV) ros-kilted.txt runtime.txt test.txt learning.txt

$(VENV)-jazzy/test:
	$(INSTALL) $(VENV)-jazzy ros-jazzy.txt runtime.txt test.txt

lint: $(VENV)/test  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy $(addprefix -p ,$(SUITE))

test: environments lint  ## lint, all tests on ROS 2 Kilted, the graph tests on Jazzy too
	@.environment/test.sh $(VENV) $(VENV)-jazzy $(ARGS)

test-jazzy: $(VENV)-jazzy/test  ## only the graph tests on Jazzy
	$(VENV)-jazzy/bin/python -m pytest -q -m graph -o cache_dir=.pytest_cache/jazzy $(ARGS)

colcon:  ## build and test the six packages as a ROS workspace does
	$(INSTALL) $(VENV)-colcon ros-kilted.txt runtime.txt test.txt colcon.txt --no-packages
	@.environment/colcon.sh $(VENV)-colcon

tables: setup  ## write launch/config/parameters.yaml and the README's tables again, from the declarations
	$(VENV)/bin/python -m allegro_bringup.parameter_file > .parameters.tmp && mv .parameters.tmp launch/config/parameters.yaml
	$(VENV)/bin/python -m allegro_bringup.readme_tables README.md

clean:  ## remove environments and build results, keep runs/
	rm -rf $(VENV) $(VENV)-jazzy $(VENV)-colcon build install log
