"""What is remembered of domains, against libvirt's test driver."""

from __future__ import annotations

import libvirt
import pytest

from cernvmcontroller.hypervisor.domains import Domains


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
