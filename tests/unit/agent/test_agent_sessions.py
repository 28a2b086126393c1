"""What the agent makes of sessions, seen from the controller's end of the channel."""

from __future__ import annotations

import time

import pytest

FOREVER = ["sleep", "600"]


def ended(server):
    return server.process.poll() is not None


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_says_hello_until_it_is_welcomed(controller):
    hello = controller.hear("hello")
    assert hello["protocol"] == 1
    assert hello["state"] == "waiting"
    assert hello["session"] is None
    assert hello["boot_id"]
    again = controller.hear("hello")
    assert again == hello


def test_a_welcome_sets_the_clock(controller, running):
    controller.welcome(time=1_900_000_000.5)
    wait_for(lambda: running.clocks == [1_900_000_000.5])


def test_the_clock_is_set_when_asked(controller, running):
    controller.welcome()
    controller.say("clock", id=4, time=1_900_000_001.0)
    assert controller.hear("reply") == {"type": "reply", "id": 4, "ok": True}
    assert running.clocks[-1] == 1_900_000_001.0


def test_another_protocol_is_refused_with_a_reason(controller):
    controller.welcome(protocol=2)
    failed = controller.hear("failed")
    assert failed["phase"] == "context"
    assert "protocol 1" in failed["reason"]
    assert "protocol 2" in failed["reason"]


def test_a_session_becomes_a_server_that_answers(controller, machine):
    controller.welcome()
    controller.session(
        command=FOREVER, port=9999, env={"TOKEN": "secret"}, home={"serial": "home", "mount": "/home/cernvm"}
    )
    ready = controller.hear("ready")
    assert ready == {"type": "ready", "session": "s-1", "port": 9999}
    assert machine.done == ["files", "home", "server s-1"]
    assert machine.env == {"TOKEN": "secret"}
    kinds = [message.get("phase", message["type"]) for message in controller.heard]
    assert kinds == ["hello", "reply", "home", "server", "ready"]


def test_it_is_ready_only_when_the_server_answers(controller, machine):
    machine.answers = False
    controller.welcome()
    controller.session(command=FOREVER)
    wait_for(lambda: machine.servers)
    controller.say("query")
    assert controller.hear("hello")["state"] == "starting"
    machine.answers = True
    controller.hear("ready")
    controller.say("query")
    assert controller.hear("hello")["state"] == "ready"


def test_the_same_session_again_changes_nothing(controller, machine):
    controller.welcome()
    controller.session(command=FOREVER)
    controller.hear("ready")
    controller.session(number=2, command=FOREVER)
    assert controller.hear("reply") == {"type": "reply", "id": 2, "ok": True}
    controller.say("query")
    hello = controller.hear("hello")
    assert (hello["state"], hello["session"]) == ("ready", "s-1")
    assert len(machine.servers) == 1


def test_another_session_replaces_the_server(controller, machine):
    controller.welcome()
    controller.session("s-1", command=FOREVER)
    controller.hear("ready")
    controller.session("s-2", command=FOREVER)
    assert controller.hear("ready")["session"] == "s-2"
    first, second = machine.servers
    assert ended(first)
    assert not ended(second)
    assert not any(message["type"] in {"failed", "exited"} for message in controller.heard)


def test_another_session_cuts_short_what_is_being_done_for_the_last_one(controller, machine):
    controller.welcome()
    controller.session("s-1", command=FOREVER, wait_for_context=True)
    controller.hear("phase")
    controller.session("s-2", command=FOREVER)
    assert controller.hear("ready")["session"] == "s-2"
    assert machine.done == ["context", "files", "server s-2"]


def test_the_context_is_waited_for_when_wanted(controller, machine):
    controller.welcome()
    machine.context_errors = ["no such user"]
    controller.session(command=FOREVER, wait_for_context=True)
    assert controller.hear("phase")["phase"] == "context"
    assert not machine.servers
    machine.context.set()
    assert "no such user" in controller.hear("phase")["message"]
    controller.hear("ready")


def test_a_home_that_cannot_be_mounted_is_a_failure_with_its_reason(controller, machine):
    machine.home_error = "The home's disk holds xfs, not the ext4 of a home. It was left as it is."
    controller.welcome()
    controller.session(home={"serial": "home", "mount": "/home/cernvm"})
    failed = controller.hear("failed")
    assert (failed["phase"], failed["reason"]) == ("home", machine.home_error)
    assert not machine.servers


def test_a_server_that_does_not_start_is_a_failure_with_the_end_of_its_log(controller, machine):
    machine.answers = False
    controller.welcome()
    controller.session(command=["sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 7"])
    failed = controller.hear("failed")
    assert (failed["phase"], failed["session"]) == ("server", "s-1")
    assert "exit code 7" in failed["reason"]
    assert failed["log_tail"].splitlines() == [f"line {number}" for number in range(61, 101)]


def test_a_program_that_is_not_there_is_a_failure(controller):
    controller.welcome()
    controller.session(command=["no-such-program"])
    assert controller.hear("failed")["reason"] == "This appliance has no program no-such-program."


def test_a_server_that_ends_after_it_was_ready_is_told(controller, machine):
    controller.welcome()
    controller.session(command=["sh", "-c", "echo the end; exec sleep 600"])
    controller.hear("ready")
    wait_for(machine.servers[0].tail)
    machine.servers[0].process.kill()
    exited = controller.hear("exited")
    assert exited == {"type": "exited", "session": "s-1", "code": -9, "log_tail": "the end"}
    controller.say("query")
    assert controller.hear("hello")["state"] == "failed"


def test_stop_ends_the_server_and_leaves_the_machine_clean(controller, machine):
    controller.welcome()
    controller.session(command=FOREVER)
    controller.hear("ready")
    controller.say("stop", id=9)
    assert controller.hear("reply") == {"type": "reply", "id": 9, "ok": True}
    assert machine.done[-1] == "leave"
    assert ended(machine.servers[0])
    controller.say("query")
    hello = controller.hear("hello")
    assert (hello["state"], hello["session"]) == ("waiting", None)


def test_stop_without_a_session_is_fine(controller):
    controller.welcome()
    controller.say("stop", id=1)
    assert controller.hear("reply")["ok"]


def test_stop_interrupts_a_start(controller, machine):
    controller.welcome()
    controller.session(command=FOREVER, wait_for_context=True)
    controller.hear("phase")
    controller.say("stop", id=2)
    assert controller.hear("reply")["id"] == 2
    assert not machine.servers


def test_the_session_survives_a_controller_that_comes_back(controller, port):
    controller.welcome()
    controller.session(command=FOREVER)
    controller.hear("ready")
    controller.close()
    second = port.connect()
    hello = second.welcome()
    assert (hello["state"], hello["session"]) == ("ready", "s-1")
    second.close()


def test_what_happens_while_nobody_listens_is_told_later(controller, machine, port):
    machine.answers = False
    controller.welcome()
    controller.session(command=FOREVER)
    wait_for(lambda: machine.servers)
    controller.close()
    machine.answers = True
    second = port.connect()
    second.say("query")
    while second.hear("hello")["state"] != "ready":
        second.say("query")
    second.close()


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\n\n",
        b"this is not JSON\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"{}\n",
        b'{"type": 5}\n',
        b'{"type": ["session"]}\n',
        b'{"type": "no such thing"}\n',
        b'{"type": "clock", "time": "noon"}\n',
        b"[" * 100_000 + b"\n",
        b"x" * 3_000_000 + b"\n",
    ],
    ids=range(11),
)
def test_rubbish_is_ignored(controller, rubbish):
    controller.welcome()
    controller.say_bytes(rubbish)
    controller.say("query")
    assert controller.hear("hello")["state"] == "waiting"


def test_rubbish_that_asks_for_a_reply_gets_one_that_names_no_contents(controller):
    controller.welcome()
    controller.session(number=5, env={"TOKEN": ["hunter2"]})
    reply = controller.hear("reply")
    assert (reply["id"], reply["ok"]) == (5, False)
    assert "hunter2" not in reply["error"]


def test_nothing_secret_is_logged(controller, running):
    controller.welcome()
    controller.session(
        command=FOREVER,
        env={"TOKEN": "hunter2"},
        files=[{"path": "/run/cernvmhub/key", "content": "hunter2", "mode": 0o400}],
    )
    controller.hear("ready")
    assert running.said
    assert "hunter2" not in "".join(running.said)
    assert "hunter2" not in repr(running.agent.__dict__)


def test_the_log_says_what_a_session_is_for(controller, running):
    controller.welcome()
    ids = {"request_id": "r-1", "machine": "m-1", "operation": "o-1"}
    controller.session(command=FOREVER, **ids)
    controller.hear("ready")
    wait_for(lambda: "the notebook server answers request_id=r-1 machine=m-1 operation=o-1" in running.said)
    controller.say("stop", id=2, request_id="r 2\nforged", machine="m-1", operation=7)
    controller.hear("reply")
    wait_for(lambda: "the server is ended machine=m-1" in running.said)
