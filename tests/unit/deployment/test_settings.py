"""The variables of `make run`, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deployment.settings import Settings, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_every_variable_has_a_default(tmp_path: Path) -> None:
    settings = Settings.from_environment({"STATE": str(tmp_path)})
    assert (settings.port, settings.name, str(settings.subnet)) == (8000, "cernvmhub", "10.80.0.0/20")
    assert settings.url == "http://127.0.0.1:8000/"
    assert settings.gateway == "10.80.0.1"


def test_an_empty_variable_is_one_that_is_not_given(tmp_path: Path) -> None:
    assert Settings.from_environment({"STATE": str(tmp_path), "PORT": "", "SUBNET": ""}).port == 8000


def test_the_deployment_needs_five_ports_in_a_row(tmp_path: Path) -> None:
    settings = Settings.from_environment({"STATE": str(tmp_path), "PORT": "9000"})
    assert [
        settings.port,
        settings.proxy_api_port,
        settings.hub_port,
        settings.service_port,
        settings.controller_port,
    ] == [9000, 9001, 9002, 9003, 9004]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65534"),
        ("HUB_NAME", "Hub"),
        ("HUB_NAME", "averylonghubname"),
        ("HUB_NAME", "a b"),
        ("SUBNET", "10.80.0.1/20"),
        ("SUBNET", "8.8.0.0/16"),
        ("SUBNET", "10.0.0.0/8"),
        ("SUBNET", "10.80.0.0/28"),
        ("SUBNET", "ten"),
        ("SUBDOMAIN_HOST", "hub.example.org"),
        ("SUBDOMAIN_HOST", "https://hub.example.org/hub"),
        ("SUBDOMAIN_HOST", "https://Hub.example.org"),
        ("PUBLIC_URL", "hub.example.org"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}="):
        Settings.from_environment({"STATE": str(tmp_path), name: value})


def test_a_state_remembers_what_it_was_made_with(tmp_path: Path) -> None:
    given = {"STATE": str(tmp_path), "PORT": "9000", "HUB_NAME": "mine", "SUBNET": "10.99.0.0/24"}
    Settings.from_environment(given).remember()
    assert Settings.from_environment({"STATE": str(tmp_path)}).environment() == (
        Settings.from_environment(given).environment()
    )


def test_a_state_cannot_be_used_with_other_ports_names_or_networks(tmp_path: Path) -> None:
    Settings.from_environment({"STATE": str(tmp_path), "PORT": "9000"}).remember()
    with pytest.raises(SettingsError, match=r"was made with PORT=9000.*make clean"):
        Settings.from_environment({"STATE": str(tmp_path), "PORT": "9100"})


def test_the_bridge_has_a_name_that_linux_accepts(tmp_path: Path) -> None:
    settings = Settings.from_environment({"STATE": str(tmp_path), "HUB_NAME": "a" * 12})
    assert len(settings.bridge) <= 15


def test_with_a_domain_the_hub_and_the_controller_have_hosts_of_their_own(tmp_path: Path) -> None:
    given = {"STATE": str(tmp_path), "PORT": "9000", "SUBDOMAIN_HOST": "https://hub.example.org:8443/"}
    settings = Settings.from_environment(given)
    assert settings.url == "https://hub.example.org:8443/"
    assert settings.service_host == "https://cernvm--service.hub.example.org:8443"
    assert settings.proxy_url == "http://127.0.0.1:9000/"
    settings.remember()
    assert (
        Settings.from_environment({"STATE": str(tmp_path)}).subdomain_host == "https://hub.example.org:8443"
    )


def test_behind_a_tls_server_the_hub_is_where_browsers_find_it(tmp_path: Path) -> None:
    given = {"STATE": str(tmp_path), "PORT": "9000", "PUBLIC_URL": "https://hub.example.org/"}
    settings = Settings.from_environment(given)
    assert (settings.url, settings.proxy_url) == ("https://hub.example.org/", "http://127.0.0.1:9000/")
    assert settings.service_host == ""
    settings.remember()
    assert Settings.from_environment({"STATE": str(tmp_path)}) == settings


def test_a_hub_is_at_one_place_for_browsers(tmp_path: Path) -> None:
    given = {"STATE": str(tmp_path), "PUBLIC_URL": "https://hub.example.org"}
    with pytest.raises(SettingsError, match=r"^PUBLIC_URL=.*Leave PUBLIC_URL out"):
        Settings.from_environment({**given, "SUBDOMAIN_HOST": "https://other.example.org"})
    Settings.from_environment({**given, "SUBDOMAIN_HOST": "https://hub.example.org"})
