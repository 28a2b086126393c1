# CernVM Hub on one machine. Each target calls a program of deployment/; `make` lists them.
#
# Variables of run, clean and distclean; a state remembers those it was made with:
#   PORT=8000  STATE=.state  HUB_NAME=cernvmhub  SUBNET=10.80.0.0/20  IP=127.0.0.1
#   SUBDOMAIN_HOST= (an origin such as https://hub.example.org: every server gets a host of its own below it)
#   PUBLIC_URL= (an origin such as https://hub.example.org, where a TLS server stands in front)
#   HUB_CONFIG=jupyterhub_config.py  CONTROLLER_CONFIG=controller_config.py
export PORT STATE HUB_NAME SUBNET IP SUBDOMAIN_HOST PUBLIC_URL HUB_CONFIG CONTROLLER_CONFIG

PYTHON ?= python3
VENV := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test lab lint audit bench docs clean distclean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)
	@echo "  with PORT=8000 STATE=.state HUB_NAME=cernvmhub SUBNET=10.80.0.0/20 IP=127.0.0.1 (defaults)"

run:  ## install what is missing, then run hub, controller and proxy until Ctrl-C
	@$(PYTHON) -m deployment.bootstrap run
	@exec $(VENV) -m deployment.run

test:  ## all tests, those with real machines and a real browser included
	@$(PYTHON) -m deployment.bootstrap test
	@exec $(VENV) -m pytest $(ARGS)

lab:  ## three libvirt hosts on this machine until Ctrl-C, to try things on; HOSTS=3 says how many
	@$(PYTHON) -m deployment.bootstrap test
	@exec $(VENV) -m tests.lab.hosts $(HOSTS)

lint:  ## format, style and types
	@$(PYTHON) -m deployment.bootstrap lint
	@exec $(VENV) -m pre_commit run --all-files

audit:  ## known flaws of the pinned packages, as far as the registries can say
	@$(PYTHON) -m deployment.bootstrap lint
	@exec $(VENV) -m deployment.audit

bench:  ## how fast a machine starts, and the controller under load; ARGS=load for the latter alone
	@$(PYTHON) -m deployment.bootstrap test
	@exec $(VENV) -m bench $(ARGS)

docs:  ## the documentation, into docs/_build/html
	@$(PYTHON) -m deployment.bootstrap lint
	@exec $(VENV) -m sphinx --fail-on-warning --keep-going docs docs/_build/html

clean:  ## end what runs; remove machines, volumes, pool, network, filter and STATE
	@test ! -d "$${STATE:-.state}" || $(PYTHON) -m deployment.bootstrap run
	@test ! -d "$${STATE:-.state}" || exec $(VENV) -m deployment.clean

distclean: clean  ## clean, and remove built appliances and the virtual environment
	@$(PYTHON) -m deployment.distclean
