"""What libvirt needs of a machine is seen, and said where it cannot be done."""

import pytest
from deployment import debian, hypervisor


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine that lacks nothing; tests take things away from it."""
    commands = []
    switch = tmp_path / "bridge-nf-call-iptables"
    switch.write_text("1\n")
    monkeypatch.setattr(hypervisor, "KVM", tmp_path / "kvm")
    monkeypatch.setattr(hypervisor, "BRIDGE_FILTER", switch)
    monkeypatch.setattr(hypervisor, "listens", lambda _path: True)
    monkeypatch.setattr(hypervisor.os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "as_root", lambda why, *more: commands.extend(more))
    return switch, commands


def test_nothing_is_done_where_nothing_is_missing(machine):
    hypervisor.ensure()
    assert machine[1] == []


@pytest.mark.parametrize("content", ["0\n", None])
def test_bridges_are_filtered_before_a_machine_runs(machine, content):
    switch, commands = machine
    switch.unlink() if content is None else switch.write_text(content)
    hypervisor.ensure()
    assert ["modprobe", "br_netfilter"] in commands
    assert ["sysctl", "--quiet", "--write", "net.bridge.bridge-nf-call-iptables=1"] in commands


def test_a_device_that_only_root_may_open_is_opened_for_its_group(machine, tmp_path):
    (tmp_path / "kvm").touch(mode=0o600)
    hypervisor.ensure()
    assert ["chmod", "0660", str(tmp_path / "kvm")] in machine[1]


def test_who_is_no_administrator_reads_what_to_ask_for(monkeypatch):
    monkeypatch.setattr(debian, "prefix", lambda: None)
    with pytest.raises(debian.Missing, match="modprobe br_netfilter"):
        debian.as_root("Bridges must be filtered.", ["modprobe", "br_netfilter"])


@pytest.fixture
def account(machine, tmp_path, monkeypatch):
    """An ordinary account, and a libvirt that asks for its group; tests decide whether that helps."""
    group = tmp_path / "group"
    virsh = tmp_path / "virsh"
    virsh.write_text(
        f'#!/bin/sh\n[ -e "{group}" ] || {{ echo "error: authentication unavailable" >&2; exit 1; }}\n'
    )
    virsh.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(hypervisor.os, "geteuid", lambda: 1)
    return group


def test_an_account_that_libvirt_takes_is_left_as_it_is(machine, account):
    account.touch()
    hypervisor.ensure()
    assert machine[1] == []


def test_an_account_that_libvirt_refuses_is_added_to_its_group(machine, account, monkeypatch):
    def as_root(_why, *commands):
        machine[1].extend(commands)
        account.touch()

    monkeypatch.setattr(debian, "as_root", as_root)
    hypervisor.ensure()
    assert machine[1] == [["adduser", "--quiet", "daemon", "libvirt"]]


@pytest.mark.usefixtures("account")
def test_an_account_that_libvirt_still_refuses_is_told_why_at_once():
    with pytest.raises(debian.Missing, match=r"authentication unavailable\nLog out"):
        hypervisor.ensure()
