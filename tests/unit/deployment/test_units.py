"""systemd's units start what `make run` supervises, with the same variables."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from deployment import preparation, run, units
from deployment.settings import ROOT, Settings

if TYPE_CHECKING:
    from pathlib import Path

HUB = """\
[Unit]
Description=CernVM Hub mine: hub
Requires=mine-preparation.service
After=mine-preparation.service libvirtd.service

[Service]
ExecStart="PYTHON" -m deployment.component hub
User=somebody
WorkingDirectory=ROOT
UMask=0077
Environment="STATE=STATEFOLDER"
Environment="IP=127.0.0.1"
Environment="PORT=9000"
Environment="HUB_NAME=mine"
Environment="SUBNET=10.80.0.0/20"
Environment="CACHE=/var/cache/100%% mine"
Environment="HUB_CONFIG=/etc/cernvmhub/jupyterhub_config.py"
Environment="CONTROLLER_CONFIG=ROOT/controller_config.py"
Environment="SUBDOMAIN_HOST="
Environment="PUBLIC_URL=https://hub.example.org"
Restart=always
RestartSec=1s
KillMode=mixed
TimeoutStopSec=20s
LimitCORE=0

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(
        {
            "STATE": str(tmp_path),
            "PORT": "9000",
            "HUB_NAME": "mine",
            "CACHE": "/var/cache/100% mine",
            "HUB_CONFIG": "/etc/cernvmhub/jupyterhub_config.py",
            "PUBLIC_URL": "https://hub.example.org",
        }
    )


def test_there_is_one_for_each_component_and_one_that_prepares(settings: Settings) -> None:
    made = units.units(settings, "somebody")
    assert list(made) == [
        *("mine-preparation.service", "mine-controller.service"),
        *("mine-proxy.service", "mine-hub.service"),
    ]
    wanted = HUB.replace("STATEFOLDER", str(settings.state)).replace("ROOT", str(ROOT))
    assert made["mine-hub.service"] == wanted.replace("PYTHON", sys.executable)
    first = made["mine-preparation.service"]
    assert f'ExecStart="{sys.executable}" -m deployment.preparation\n' in first
    assert "ExecStartPre=+/usr/sbin/modprobe br_netfilter\n" in first


def test_make_run_prepares_the_same() -> None:
    assert run.prepare is preparation.prepare


def test_nothing_starts_where_machines_would_not_be_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.hypervisor, "bridges_are_filtered", lambda: False)
    monkeypatch.setattr(preparation, "prepare", lambda _settings: pytest.fail("it went on"))
    with pytest.raises(SystemExit, match="br_netfilter"):
        preparation.main()


def test_systemd_finds_no_fault_with_them(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "units"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "deployment.units", str(folder)],
        cwd=ROOT,
        env=os.environ | settings.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "enable --now mine-controller mine-proxy mine-hub" in done.stdout
    files = sorted(folder.glob("*.service"))
    assert len(files) == 4
    assert f"User={pwd.getpwuid(os.geteuid()).pw_name}\n" in files[0].read_text()
    verified = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    about = [line for line in verified.stderr.splitlines() if "mine-" in line]
    assert (verified.returncode, about) == (0, []), verified.stderr
