"""Files, clock, context, environment and probe of the agent."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from cernvmagent import clock, context, probe, secretfiles, server, space
from cernvmagent.protocol import SecretFile

ME = (os.getuid(), os.getgid())


# --- files ---


def test_files_are_for_their_owner_alone(tmp_path):
    folder = tmp_path / "secrets"
    secretfiles.write([SecretFile(f"{folder}/ssl/deep/key.pem", "secret", 0o400)], str(folder), ME)
    key = folder / "ssl/deep/key.pem"
    assert key.read_text() == "secret"
    assert key.stat().st_mode & 0o777 == 0o400
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "ssl").stat().st_mode & 0o777 == 0o700


def test_the_files_of_the_last_session_are_gone(tmp_path):
    folder = tmp_path / "secrets"
    secretfiles.write([SecretFile(f"{folder}/a/old", "old", 0o400)], str(folder), ME)
    secretfiles.write([SecretFile(f"{folder}/new", "new", 0o400)], str(folder), ME)
    assert [path.name for path in folder.rglob("*")] == ["new"]


def test_a_link_in_the_way_is_not_followed(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_text("kept")
    (folder / "ssl").symlink_to(target)
    secretfiles.write([SecretFile(f"{folder}/ssl/key", "secret", 0o400)], str(folder), ME)
    assert sorted(path.name for path in target.iterdir()) == ["kept"]


# --- clock ---


def test_a_clock_that_is_right_is_left_alone(monkeypatch):
    monkeypatch.setattr(time, "clock_settime", lambda *_: pytest.fail("it was set"))
    assert clock.set_clock(time.time() + 0.5) is False


def test_a_clock_that_is_off_is_set(monkeypatch):
    told = []
    monkeypatch.setattr(time, "clock_settime", lambda *what: told.append(what))
    assert clock.set_clock(1_900_000_000.0) is True
    assert told == [(time.CLOCK_REALTIME, 1_900_000_000.0)]


# --- context ---


def test_the_context_is_applied_when_cloud_init_says_so(tmp_path):
    result = tmp_path / "result.json"
    waits = []

    def cancelled(seconds):
        waits.append(seconds)
        result.write_text(json.dumps({"v1": {"datasource": "NoCloud", "errors": ["one"]}}))
        return False

    assert context.wait(cancelled, result=str(result)) == ["one"]
    assert waits


def test_a_context_that_takes_too_long_is_a_failure(tmp_path):
    with pytest.raises(context.ContextFailed, match="within 0 s"):
        context.wait(lambda _: False, result=str(tmp_path / "never"), longest=0)


@pytest.mark.parametrize("text", ["", "[]", '{"v1": null}', '{"v1": {"errors": 5}}'])
def test_a_result_that_cannot_be_read_is_no_error(tmp_path, text):
    result = tmp_path / "result.json"
    result.write_text(text)
    assert context.wait(lambda _: False, result=str(result)) == []


# --- environment ---


def test_the_hub_s_own_environment_does_not_lead_the_server_astray():
    env = server.environment(
        {"PATH": "/srv/hub/bin", "PYTHONPATH": "/srv/hub", "LANG": "de_DE.UTF-8", "JUPYTERHUB_USER": "alice"},
        "/home/cernvm",
    )
    assert env["PATH"].split(":")[0] == "/opt/server/bin"
    assert "PYTHONPATH" not in env
    assert env["LANG"] == "C.UTF-8"
    assert (env["HOME"], env["USER"]) == ("/home/cernvm", "cernvm")
    assert env["JUPYTERHUB_USER"] == "alice"


def test_the_log_is_for_root_alone_and_the_environment_not_in_it(tmp_path):
    log = tmp_path / "log/server.log"
    running = server.Server(
        ["sh", "-c", "echo started"], {"PATH": os.environ["PATH"], "TOKEN": "hunter2"}, str(tmp_path),
        user=None, log=str(log),
    )  # fmt: skip
    running.process.wait()
    assert running.tail() == "started"
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    again = server.Server(
        ["sh", "-c", "echo again"], {"PATH": os.environ["PATH"]}, str(tmp_path), user=None, log=str(log)
    )
    again.process.wait()
    assert again.tail() == "again", "the log of this start only"
    running.close()
    again.close()


def test_a_server_that_ignores_a_polite_request_is_ended(tmp_path):
    running = server.Server(
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], {"PATH": os.environ["PATH"]},
        str(tmp_path), user=None, log=str(tmp_path / "log/server.log"),
    )  # fmt: skip
    while running.tail() != "up":
        assert running.code is None
    running.stop(patience=0.2)
    assert running.process.returncode == -9


# --- probe ---


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def answer(look):
    end = time.monotonic() + 10
    while not look.answered():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_that_does_not_listen_does_not_answer(listener):
    port = listener.getsockname()[1]
    listener.close()
    assert probe.Probe("127.0.0.1", port, tls=False).answered() is False


def test_a_server_that_listens_and_does_not_serve_yet_does_not_answer(listener):
    look = probe.Probe("127.0.0.1", listener.getsockname()[1], tls=False)
    assert not any(look.answered() for _ in range(20))
    peer, _ = listener.accept()
    peer.recv(1024)
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    answer(look)
    peer.close()


def test_a_server_that_wants_a_client_certificate_answers(listener, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "1", "-subj", "/CN=test", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tls.load_verify_locations(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    reasons = []

    def serve():
        peer, _ = listener.accept()
        with pytest.raises((ssl.SSLError, OSError)) as error:
            tls.wrap_socket(peer, server_side=True)
        reasons.append(error.value)
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    answer(probe.Probe("127.0.0.1", listener.getsockname()[1], tls=True))
    thread.join(10)
    # The server took the greeting as one, and only missed the rest.
    assert not isinstance(reasons[0], ssl.SSLError) or isinstance(reasons[0], ssl.SSLEOFError)


@pytest.mark.parametrize(
    ("env", "target", "question"),
    [
        ({}, ("127.0.0.1", 8888), b"GET /api HTTP/1.1"),
        (
            {
                "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/a/",
                "JUPYTERHUB_SERVICE_PREFIX": "/user/a/",
            },
            ("127.0.0.1", 8888),
            b"GET /user/a/api HTTP/1.1",
        ),
        ({"JUPYTERHUB_SERVICE_URL": "https://10.80.0.7:8888/user/a/"}, ("10.80.0.7", 8888), b"\x16\x03\x01"),
        ({"JUPYTERHUB_SERVICE_URL": "https://[::]:8888/"}, ("127.0.0.1", 8888), b"\x16\x03\x01"),
    ],
)
def test_the_probe_fits_what_the_hub_says_of_the_server(env, target, question):
    look = probe.of_server(env, 8888)
    assert look._target == target
    assert look._question.startswith(question)


# --- room ---


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    class Room:
        f_bavail, f_frsize, f_files, f_favail = 10, 4096, 100, 50

    monkeypatch.setattr(os, "statvfs", lambda _: Room)
    assert space.full("/", "/home/cernvm") == "The machine's disk is full. The home /home/cernvm is full."
    Room.f_bavail = 1_000_000
    assert space.full("/") == ""
    Room.f_favail = 0
    assert space.full("/") == "The machine's disk is full."
