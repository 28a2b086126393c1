"""Where the client finds its controller, and what it never tells."""

import pytest

from cernvmapi import AsyncClient, Client
from cernvmapi.errors import ControllerUnreachable

URL = "https://hub.example/services/cernvm/api/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("CERNVM_API_URL", "CERNVM_API_CA", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_the_environment_of_a_notebook_is_enough(cls, environment):
    environment.setenv("CERNVM_API_URL", URL + "/")
    environment.setenv("JUPYTERHUB_API_TOKEN", "secret-token")
    client = cls()
    assert repr(client) == f"<{cls.__name__} of {URL}>"
    assert client._http.headers["Authorization"] == "Bearer secret-token"


@pytest.mark.parametrize("cls", [Client, AsyncClient])
def test_the_token_is_in_no_repr(cls):
    client = cls(URL, "secret-token")
    for thing in (client, client.machines, client._settings, vars(client), client._http.headers):
        assert "secret-token" not in repr(thing)


def test_without_a_url_the_sentence_says_what_to_do():
    with pytest.raises(ControllerUnreachable, match="CERNVM_API_URL"):
        Client()
    with pytest.raises(ControllerUnreachable, match="http or https"):
        Client("ftp://hub.example")


def test_a_url_with_credentials_is_refused_without_repeating_them():
    with pytest.raises(ControllerUnreachable) as caught:
        Client("https://user:hunter2@hub.example/api")
    assert "hunter2" not in str(caught.value)


def test_an_authority_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ControllerUnreachable, match=r"gone\.crt"):
        Client(URL, "t", tmp_path / "gone.crt")
    (tmp_path / "bad.crt").write_text("no certificate")
    with pytest.raises(ControllerUnreachable, match=r"bad\.crt"):
        Client(URL, "t", tmp_path / "bad.crt")


def test_proxies_of_the_environment_are_not_used(environment):
    environment.setenv("HTTPS_PROXY", "http://192.0.2.1:1")
    environment.setenv("ALL_PROXY", "http://192.0.2.1:1")
    assert Client(URL, "t")._http._mounts == {}


def test_both_clients_have_the_same_verbs():
    def verbs(client):
        return {
            f"{group}.{name}"
            for group, value in vars(client).items()
            if not group.startswith("_")
            for name in dir(value)
            if not name.startswith("_")
        } | {name for name in dir(client) if not name.startswith("_")}

    assert verbs(Client(URL, "t")) == verbs(AsyncClient(URL, "t"))


def test_a_verb_says_what_it_does():
    assert "Seconds to wait" in Client(URL, "t").machines.start.__doc__


def test_a_machine_is_described_once():
    from cernvmapi.models import MachineCreate  # noqa: PLC0415

    with pytest.raises(TypeError, match="not both"):
        Client(URL, "t").machines.create(MachineCreate(), name="x")
    with pytest.raises(TypeError):
        Client(URL, "t").machines.create(nmae="x")
