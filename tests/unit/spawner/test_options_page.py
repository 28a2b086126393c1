"""The options page, the failure and the progress, as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lxml import html
from msgspec.structs import replace
from tests.unit.spawner.controller_standin import StandIn
from tests.unit.spawner.standin_offer import APPLIANCES, FLAVORS, UPDATED

from cernvmapi.errors import Invalid, NoRoom, StartFailed
from cernvmapi.models import MachineCreate, Phase, PhaseMark, Status
from cernvmspawner import form, profiles, progress
from cernvmspawner.failure import server_not_started, tidy_console
from cernvmspawner.options import Offer
from cernvmspawner.session import session

OFFER = Offer(APPLIANCES, FLAVORS)


def chosen(page: str) -> dict[str, str]:
    tree = html.fromstring(page)
    return {one.get("name"): one.get("value") for one in tree.xpath("//input[@type='radio'][@checked]")}


def test_the_page_shows_what_each_appliance_and_size_is() -> None:
    page = form.page(OFFER, {})
    tree = html.fromstring(page)
    text = re.sub(r"\s+", " ", tree.text_content())
    assert "CernVM Version 6.1" in text
    assert "Updated 14 September 2026" in text
    assert "4 vCPUs 8 GiB memory 40 GiB disk" in text
    assert "Probe" not in text
    assert [legend.text for legend in tree.xpath("//fieldset/legend")] == ["Appliance", "Size"]
    assert all(one.xpath("ancestor::label") for one in tree.xpath("//input[@type='radio']"))


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    assert "http" not in form.page(OFFER, {})


def test_the_defaults_are_chosen_at_first() -> None:
    assert chosen(form.page(OFFER, {})) == {"appliance": "cernvm", "flavor": "small"}
    site = replace_offer(appliance="cernvm-next", flavor="large")
    assert chosen(form.page(site, {})) == {"appliance": "cernvm-next", "flavor": "large"}


def replace_offer(**fields: str) -> Offer:
    return Offer(APPLIANCES, FLAVORS, **fields)  # type: ignore[arg-type]


def test_the_last_choice_is_chosen_again_as_far_as_it_is_still_offered() -> None:
    assert chosen(form.page(OFFER, {"appliance": "cernvm-next", "flavor": "gone"})) == {
        "appliance": "cernvm-next",
        "flavor": "small",
    }
    assert chosen(form.page(OFFER, {"appliance": ["x"], "flavor": None})) == {
        "appliance": "cernvm",
        "flavor": "small",
    }


def test_what_an_appliance_says_of_itself_is_text_and_not_markup() -> None:
    evil = '"><script>alert(1)</script>'
    one = replace(APPLIANCES[0], title=evil, description=evil, version=evil, logo='javascript:"')
    page = form.page(Offer([one], FLAVORS), {"vcpus": evil})
    assert "<script>alert" not in page
    assert "javascript:" not in page


def test_profiles_and_their_options_are_shown_with_the_last_choice() -> None:
    listed = profiles.read(
        [
            {"display_name": "Course"},
            {
                "display_name": "Analysis",
                "profile_options": {
                    "size": {
                        "choices": {"s": {"display_name": "S"}, "l": {"display_name": "L"}},
                        "unlisted_choice": {"enabled": True},
                    }
                },
            },
        ]
    )
    offer = Offer(APPLIANCES, FLAVORS, profiles=listed)
    tree = html.fromstring(form.page(offer, {"profile": "analysis", "size": "l"}))
    assert tree.xpath("//input[@checked]/@value") == ["analysis"]
    assert tree.xpath("//option[@selected]/@value") == ["l"]
    own = html.fromstring(form.page(offer, {"profile": "analysis", "size--unlisted-choice": "7"}))
    assert own.xpath("//option[@selected]/@value") == ["unlisted-choice"]
    assert own.xpath("//input[@name='profile-option-analysis--size--unlisted-choice']/@value") == ["7"]


def test_a_failure_says_why_and_shows_the_end_of_the_console() -> None:
    failed = server_not_started(StartFailed("It <b>broke</b>. Start it again."), console="one\ntwo <script>")
    assert failed.message == failed.jupyterhub_message == "It <b>broke</b>. Start it again."
    assert failed.message_html == failed.jupyterhub_html_message
    assert "It &lt;b&gt;broke" in failed.message_html
    assert "two &lt;script&gt;" in failed.message_html
    assert "(2 lines)" in failed.message_html
    assert failed.reason == "start-failed"


def test_the_notebook_servers_log_is_shown_where_it_says_more() -> None:
    failed = server_not_started(StartFailed("No.", errors=[{"log_tail": "ImportError: jupyterlab"}]))
    assert "ImportError: jupyterlab" in failed.message_html


def test_a_policy_is_no_fault_of_the_hub() -> None:
    assert server_not_started(Invalid("No.")).status_code == 400
    assert server_not_started(NoRoom("Full.")).status_code == 409


def test_a_console_is_shown_without_what_only_a_terminal_understands() -> None:
    raw = "\x1b[2J\x1b[01;32mOK\x1b[0m started\r\n10%\r50%\r100% done\r\n\r\n\x07login:"
    assert tidy_console(raw) == "OK started\n100% done\nlogin:"
    assert tidy_console("\n".join(map(str, range(100)))).startswith("60\n")


def test_every_phase_is_told_once_in_words_and_percent() -> None:
    machine, _ = StandIn().create(MachineCreate(owner="alice", server_name=""))
    first = PhaseMark(phase=Phase.PLACED, message="On <local>.", progress=5, at=UPDATED)
    second = PhaseMark(phase=Phase.READY, message="Answers", progress=100, at=datetime.now(UTC))
    one = replace(machine, timeline=[first])
    both = replace(machine, timeline=[first, second])
    (told,) = progress.news(one, None)
    assert told["progress"] == 5
    assert told["html_message"].startswith("On &lt;local&gt;.")
    assert "emulates" in told["message"]
    assert progress.news(both, one) == [{"progress": 99, "message": "Answers", "html_message": "Answers"}]


def test_a_start_ends_when_the_machine_runs_fails_or_is_gone() -> None:
    machine, _ = StandIn().create(MachineCreate(owner="alice", server_name=""))
    assert not progress.ended(replace(machine, status=Status.STARTING, revision=2), 1)
    assert progress.ended(replace(machine, status=Status.RUNNING, revision=2), 1)
    assert not progress.ended(replace(machine, status=Status.STOPPED, revision=1), 1)
    assert progress.ended(None, 1)


def test_a_session_shows_nothing_of_what_is_in_it() -> None:
    made = session(
        command=["jupyterhub-singleuser"],
        env={"JUPYTERHUB_API_TOKEN": "geheim", "EMPTY": None, "PORT": 1},
        port=8888,
        certificates={"keyfile": "KEY", "certfile": "CERT", "cafile": "CA"},
        controller_ca="ROOT",
    )
    assert "geheim" not in repr(made)
    assert made.env == {"JUPYTERHUB_API_TOKEN": "geheim", "PORT": "1"}
    assert {one.path: oct(one.mode) for one in made.files} == {
        "/run/cernvmhub/tls/key.pem": "0o400",
        "/run/cernvmhub/tls/cert.pem": "0o400",
        "/run/cernvmhub/tls/ca.pem": "0o400",
        "/run/cernvmhub/controller-ca.crt": "0o444",
    }
