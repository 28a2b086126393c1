"""The metrics' page says what the controller serves, and the examples name nothing else."""

import importlib.util
import json
import re

import pytest
import yaml

from cernvmcontroller.web.metrics import Metrics


@pytest.fixture(scope="module")
def root(pytestconfig):
    return pytestconfig.rootpath


@pytest.fixture(scope="module")
def page(root):
    spec = importlib.util.spec_from_file_location("metricspage", root / "docs/_extensions/metricspage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metrics = Metrics()
    return module.page(list(metrics.registry.collect()), metrics.labels)


def served(page):
    return set(re.findall(r"^\| `(cernvm_\w+)`", page, re.MULTILINE))


def test_every_metric_has_its_labels_and_a_sentence(page):
    assert "| `cernvm_starts_total` | counter | `outcome`, `phase`, `reason` | Starts, by how" in page
    assert "| `cernvm_pool_available_bytes` | gauge | `pool` | What is free in the pool. |" in page
    assert len(served(page)) > 30
    assert all(line.endswith(". |") for line in page.splitlines()[2:])


def test_no_label_is_a_user_or_a_machine(page):
    assert not {"`user`", "`owner`", "`machine`"} & set(re.findall(r"`\w+`", page))


def test_alerts_and_dashboard_ask_for_what_is_served(page, root):
    folder = root / "docs/howto/monitoring"
    rules = yaml.safe_load((folder / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((folder / "dashboard.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]
    names = {name for expr in asked for name in re.findall(r"cernvm_\w+", expr)}
    assert {name.removesuffix("_bucket") for name in names} <= served(page)
    assert yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
