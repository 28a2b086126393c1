"""What of a machine's timeline is news to who watches its start."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from cernvmapi.models import Machine, Phase, PhaseMark, Power, Status, Target
from cernvmspawner.progress import news

THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

DOWNLOAD = PhaseMark(
    phase=Phase.DISK, message="The appliance is brought to the host: 10 %", progress=9, at=THEN
)

MACHINE = Machine(
    id="m-abcdefgh2345",
    name="alice",
    owner="alice",
    server_name="",
    appliance="default",
    appliance_title="CernVM for notebooks",
    flavor="small",
    vcpus=1,
    memory_mib=1024,
    disk_mib=8192,
    host="local",
    uuid="5d3b5a9e-3a54-5f0e-8a9b-000000000001",
    address="10.80.0.17",
    status=Status.STARTING,
    target=Target.RUNNING,
    power=Power.OFF,
    timeline=[DOWNLOAD],
    created=THEN,
    changed=THEN,
)


def test_what_was_told_is_told_once() -> None:
    assert [event["message"] for event in news(MACHINE, None)] == [DOWNLOAD.message]
    assert news(MACHINE, MACHINE) == []


def test_a_phase_that_goes_on_is_told_although_it_began_when_it_began() -> None:
    further = msgspec.structs.replace(
        DOWNLOAD, message="The appliance is brought to the host: 20 %", progress=10
    )
    later = msgspec.structs.replace(MACHINE, timeline=[further])
    [event] = news(later, MACHINE)
    assert (event["message"], event["progress"]) == (further.message, 10)
