"""A bug report has what is needed, and no secret."""

from __future__ import annotations

import json
import stat
import tarfile

import pytest
from scripted import ALICE, SESSION

from cernvmcontroller.app import main
from cernvmcontroller.commands.report import Report
from cernvmcontroller.hypervisor.fake import FakeHypervisor
from cernvmcontroller.statedir import StateError

PLANTED = "planted-0f1e2d3c4b5a"


@pytest.fixture
async def failed(lab, monkeypatch):
    """A state folder with secrets, and a machine whose start failed and said one aloud."""
    lab.template = {"fails": f"it cannot read {PLANTED}"}
    machine = await lab.create()
    operation = await lab.engine.machines.start(ALICE, machine.id, SESSION)
    await lab.engine.operations.wait(operation.id, 10)
    (lab.folder / "hub_token").write_text(PLANTED)
    (lab.folder / "accounts.json").write_text(json.dumps({"accounts": [{"password": "planted-too-12345"}]}))
    (lab.folder / "log").mkdir()
    (lab.folder / "log" / "hub.log").write_text(
        f"first\n{PLANTED} for alice\nplanted-too-12345\nhttp://u:pw9@h/\n"
    )
    monkeypatch.setattr(
        "cernvmcontroller.commands.report.open_hypervisor", lambda uri: FakeHypervisor(uri, host=lab.host)
    )
    lab.machine = machine
    return lab


async def report(lab, **options):
    hosts = [{"name": "host1", "uris": ["fake://host1"]}]
    program = Report(state_dir=str(lab.folder), hosts=hosts, output=str(lab.folder / "r.tar.gz"), **options)
    await program.run()
    with tarfile.open(lab.folder / "r.tar.gz") as archive:
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode() for member in archive
        }


async def test_it_has_what_is_needed_and_no_secret(failed, capsys):
    found = await report(failed)
    assert found.keys() >= {
        "README.txt", "versions.json", "configuration.json", "disks.json", "health.json", "database.json",
        "logs/hub.log", "hosts/host1/capabilities.json", f"machines/{failed.machine.id}/domain.xml",
    }  # fmt: skip
    everything = "".join(found.values())
    assert "planted" not in everything
    assert "pw9" not in everything
    assert "very-secret-token" not in everything
    assert "first" in found["logs/hub.log"]
    database = json.loads(found["database.json"])
    (machine,) = database["machines"]
    assert (machine["id"], machine["owner"]) == (failed.machine.id, "alice")
    assert database["failed operations"][0]["action"] == "machine.start"
    assert database["version"]
    assert "could not be had" in found["health.json"]  # this controller does not listen
    assert "ARE in it" in found["README.txt"]
    assert stat.S_IMODE((failed.folder / "r.tar.gz").stat().st_mode) == 0o600
    assert "Wrote" in capsys.readouterr().out


async def test_names_are_replaced_where_that_is_asked_for(failed):
    found = await report(failed, anonymize=True)
    everything = "".join(found.values())
    assert "alice" not in everything
    assert "someone-" in found["logs/hub.log"]


async def test_a_database_that_cannot_be_read_spoils_nothing_else(failed):
    failed.disagrees = "the database is lost"
    await failed.end()
    failed.lose_database()
    found = await report(failed)
    assert "could not be had" in json.loads(found["database.json"])["machines"]
    assert "first" in found["logs/hub.log"]
    assert not failed.database.exists()  # none was made


async def test_an_older_report_is_not_overwritten(failed):
    await report(failed)
    with pytest.raises(StateError, match="File exists"):
        await report(failed)


def test_it_is_a_command(tmp_path, monkeypatch):
    (tmp_path / "c.py").write_text("c = get_config()\nc.CernVMController.hosts = []\n")
    monkeypatch.chdir(tmp_path)
    main(["report", "--config", "c.py", "--state", str(tmp_path), "--output", "r.tar.gz"])
    assert (tmp_path / "r.tar.gz").exists()
