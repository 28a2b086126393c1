import pytest

from cernvmapi.errors import StartFailed
from cernvmapi.models import Phase, Power, Status
from cernvmwidgets.rows import HEADINGS, NOTHING, memory, row, state, text_table


def test_every_status_has_a_word_and_a_shape_of_its_own(machine):
    states = [state(machine(status=status)) for status in Status]
    assert len({each.icon for each in states}) == len(Status)
    assert len({each.text for each in states}) == len(Status)


@pytest.mark.parametrize("status", list(Status))
def test_a_machine_whose_host_is_out_of_reach_is_unknown_and_never_running_or_stopped(machine, status):
    shown = row(machine(status=status, power=Power.UNKNOWN))
    assert shown["state"] == "Unknown"
    assert shown["detail"] == "Its host local does not answer."


def test_a_paused_machine_is_not_called_running(machine):
    assert state(machine(power=Power.PAUSED)).text == "Paused"


def test_a_failed_machine_says_why(machine):
    problem = StartFailed("It did not boot within 180 s.").problem()
    shown = row(machine(status=Status.FAILED, power=Power.OFF, error=problem))
    assert (shown["state"], shown["detail"]) == (
        "Failed",
        "It did not boot within 180 s.",
    )


def test_a_starting_machine_says_what_it_does_and_how_far_it_is(machine, mark):
    timeline = [mark(Phase.PLACED, 5), mark(Phase.BOOT, 40, "The machine boots")]
    shown = row(machine(status=Status.STARTING, timeline=timeline, progress=40))
    assert shown["detail"] == "The machine boots (40 %)"


@pytest.mark.parametrize(
    ("mib", "words"),
    [(256, "256 MiB"), (1024, "1 GiB"), (1536, "1.5 GiB"), (10240, "10 GiB"), (102400, "100 GiB")],
)
def test_memory_is_given_in_the_unit_a_person_would_use(mib, words):
    assert memory(mib) == words


def test_a_machine_started_when_it_became_ready(machine):
    assert row(machine())["started"] == "2026-03-01T12:00:00+00:00"
    assert row(machine(status=Status.STOPPED, power=Power.OFF))["started"] is None


def test_what_is_not_known_yet_is_a_dash(machine):
    shown = row(machine(status=Status.PENDING, host=None, address=None))
    assert (shown["host"], shown["address"]) == (NOTHING, NOTHING)


def test_the_plain_text_form_is_a_table_with_aligned_columns(machine):
    heading, first, second = text_table([row(machine()), row(machine(name="alice/second"))]).splitlines()
    assert heading.split() == list(HEADINGS)
    assert heading.index("State") == first.index("● Running") == second.index("● Running")
    assert first.endswith("2026-03-01 12:00 UTC")
