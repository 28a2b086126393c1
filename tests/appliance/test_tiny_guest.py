"""The tiny guest, which probes hosts and stands in for an appliance in tests."""

from __future__ import annotations

import time

import httpx
import pytest
from tests.appliance.guest import Guest, make_disk

pytestmark = pytest.mark.machines


@pytest.fixture
def guest(guests, tiny, tmp_path):
    guest = Guest(tmp_path / "guest", make_disk(tmp_path / "disk", "1G", tiny), memory_mib=128)
    guests.append(guest)
    return guest


def test_it_boots_speaks_the_protocol_serves_a_page_and_obeys_the_power_button(guest):
    assert guest.hear("hello")["state"] == "waiting"
    assert "CERNVMHUB-TINY-READY" in guest.console
    guest.say("welcome", protocol=1, time=time.time())
    secret = {"path": "/run/cernvmhub/key", "content": 'a "quoted" \\ thing' * 2000, "mode": 0o400}
    guest.session("s-1", ["anything"], env={"id": "17", "session": "no"}, files=[secret])
    assert guest.hear("reply") == {"type": "reply", "id": 1, "ok": True}
    assert guest.hear("ready") == {"type": "ready", "session": "s-1", "port": 8888}
    assert "CERNVMHUB-TINY" in httpx.get(f"http://127.0.0.1:{guest.port}/", timeout=60).text

    guest.reconnect()
    guest.say("query")
    hello = guest.hear("hello")
    assert (hello["state"], hello["session"]) == ("ready", "s-1")

    guest.session("s-2", ["tiny-fail"])
    failed = guest.hear("failed", failing=True)
    assert (failed["session"], failed["log_tail"]) == ("s-2", "first line\nlast line")
    guest.session("s-3", ["tiny-exit"])
    assert guest.hear("exited", failing=True)["code"] == 3
    guest.say("stop", id=5)
    assert guest.hear("reply")["id"] == 5
    guest.press_power_button()
