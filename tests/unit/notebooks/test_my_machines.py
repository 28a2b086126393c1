"""The notebook runs in a kernel of its own, against a stand-in that speaks the contract."""

import json
from datetime import UTC, datetime, timedelta

from tests.unit.notebooks.conftest import TOKEN, text_of

from cernvmapi.models import Machine, Page, Phase, PhaseMark, Power, Status, Target

THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

MACHINE = Machine(
    id="m-abcdefgh2345",
    name="alice",
    owner="alice",
    server_name="",
    appliance="default",
    appliance_title="CernVM for notebooks",
    flavor="small",
    vcpus=2,
    memory_mib=1024,
    disk_mib=8192,
    host="local",
    uuid="5d3b5a9e-3a54-5f0e-8a9b-000000000001",
    address="10.80.0.17",
    status=Status.RUNNING,
    target=Target.RUNNING,
    power=Power.ON,
    timeline=[
        PhaseMark(phase=Phase.PLACED, message="On local", progress=5, at=THEN),
        PhaseMark(phase=Phase.READY, message="Ready", progress=100, at=THEN + timedelta(seconds=41.5)),
    ],
    created=THEN,
    changed=THEN,
)


async def test_the_notebook_lists_ones_machines(answers, run):
    answers["/machines"] = Page(items=[MACHINE], total=1)
    notebook = await run("my-machines.ipynb")

    cells = {cell.id: cell for cell in notebook.cells}
    assert text_of(cells["list"]) == "alice: running, 2 CPUs, 1024 MiB, on local\nMachines: 1\n"
    assert text_of(cells["phases"]) == "alice: placed -> ready: 41.5 s\n"
    assert "● Running" in text_of(cells["table"])
    (shown,) = cells["table"].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert TOKEN not in json.dumps(notebook)
