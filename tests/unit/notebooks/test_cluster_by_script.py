"""The administrator's notebooks: one on a controller with two fake hosts, one that shows the dashboard."""

from __future__ import annotations

import pytest
from tests.unit.engine.scripted import Lab
from tests.unit.notebooks.conftest import text_of
from tests.unit.web.conftest import services_for
from tests.unit.web.fakehub import FakeHub

from cernvmapi.models import API_PREFIX
from cernvmcontroller.web.server import Listeners


@pytest.fixture
async def site(tmp_path, monkeypatch):
    """Serve a controller with two hosts to a notebook of an administrator."""
    lab, hub = Lab(tmp_path, hosts=2), FakeHub()
    hub.start()
    await lab.begin()
    listeners = Listeners(services_for(lab.engine, hub))
    port = listeners.listen_behind_proxy("127.0.0.1", 0, None)
    monkeypatch.setenv("CERNVM_API_URL", f"http://127.0.0.1:{port}{API_PREFIX}")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "carol-admin")
    monkeypatch.setenv("JUPYTERHUB_USER", "carol")
    yield lab
    await listeners.close()
    await lab.end()
    await hub.stop()


async def test_a_cluster_is_made_used_drained_and_removed_by_script(site, run):
    notebook = await run("cluster-by-script.ipynb")
    cells = {cell.id: text_of(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "host1" in cells["connect"]
    assert cells["cluster"].startswith("by-script: host1, host2")
    assert cells["machines"].count("running, on on host") == 3
    assert "From the next start on: " in cells["size"]
    assert "['tuned']" in cells["size"]
    assert "machines left; the host is in maintenance" in cells["drain"]
    assert len({line.split(" on ")[-1] for line in cells["drain"].splitlines()[1:]}) >= 1
    assert (await site.engine.machines.page()).total == 0
    assert [cluster.id for cluster in await site.engine.clusters.all(host=None, machine=None)] == ["default"]


async def test_the_dashboard_is_shown_in_a_notebook(site, run):
    notebook = await run("admin.ipynb")
    cells = {cell.id: cell for cell in notebook.cells}
    shown = cells["dashboard"].outputs[-1]["data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert text_of(cells["selection"]) in {"()", "[]"}
