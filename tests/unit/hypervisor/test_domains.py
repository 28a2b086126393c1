"""What is remembered of domains, against libvirt's test driver."""

from __future__ import annotations

import libvirt
import pytest

from cernvmapi.models import Power
from cernvmcontroller.hypervisor.domains import Domains, reading


class Forgetful(dict):
    """Forgets at once, as when an event is heard while a worker's thread reads."""

    def __setitem__(self, key, value):
        pass


@pytest.fixture
def connection():
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


def test_a_domain_that_is_heard_of_while_it_is_read_is_seen(connection):
    class Quiet:
        def subscribe(self, callback):
            pass

    domains = Domains(Quiet())
    domains._metadata = Forgetful()
    assert [(state.name, state.metadata) for state in domains._all(connection)] == [("test", None)]


@pytest.mark.parametrize(
    ("reason", "seen"),
    [
        (libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, (Power.ON, "starting_up")),
        (libvirt.VIR_DOMAIN_PAUSED_IOERROR, (Power.PAUSED, "ioerror")),
        (libvirt.VIR_DOMAIN_PAUSED_USER, (Power.PAUSED, "user")),
    ],
)
def test_a_domain_that_libvirt_is_starting_is_not_paused(reason, seen):
    assert reading(libvirt.VIR_DOMAIN_PAUSED, reason) == seen
