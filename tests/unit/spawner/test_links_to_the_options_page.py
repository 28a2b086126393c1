"""Links that open the options page with a choice made, and what is remembered of a choice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.spawner.standin_offer import APPLIANCES

from cernvmspawner.choosing import FilledPage
from cernvmspawner.failure import ServerNotStarted

if TYPE_CHECKING:
    from tests.unit.spawner.controller_standin import MakeSpawner


def request_with(**arguments: str) -> Any:
    return SimpleNamespace(
        request=SimpleNamespace(query_arguments={name: [value.encode()] for name, value in arguments.items()})
    )


async def test_a_link_opens_the_page_with_its_choice_made(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    spawner.handler = request_with(**{"opt-appliance": "cernvm-next", "opt-flavor": "large", "next": "/x"})
    with pytest.raises(FilledPage) as caught:
        await spawner.options_from_query({"appliance": ["cernvm-next"], "flavor": ["large"]})
    assert caught.value.status_code == 200
    page = await spawner.get_options_form()
    assert 'value="cernvm-next" data-title="CernVM Next 7.0-rc2"' in page
    assert page.count(" checked") == 2


async def test_a_link_can_start_at_once(spawner_of: MakeSpawner) -> None:
    chosen = await spawner_of().options_from_query({"flavor": ["large"], "start": ["yes"]})
    assert chosen == {"flavor": "large"}


async def test_a_link_to_what_is_gone_says_so(spawner_of: MakeSpawner) -> None:
    with pytest.raises(ServerNotStarted, match="There is no appliance"):
        await spawner_of().options_from_query({"appliance": ["cernvm-5"]})


async def test_the_page_refuses_what_cannot_be_before_it_is_remembered(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of()
    assert await spawner.run_options_from_form({"appliance": ["cernvm"]}) == {"appliance": "cernvm"}
    with pytest.raises(ServerNotStarted, match="choose a larger one"):
        await spawner.run_options_from_form({"appliance": ["cernvm-next"], "flavor": ["small"]})


async def test_the_last_choice_is_remembered_for_each_server(spawner_of: MakeSpawner) -> None:
    spawner = spawner_of("alice", "second", user_options={"flavor": "large"})
    assert 'value="large" data-title="Large"\n' in (await spawner.get_options_form()).replace("  ", "")
    assert APPLIANCES[0].title in await spawner.get_options_form()
