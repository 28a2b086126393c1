"""The hub waits longer than the controller's own deadlines: people read a reason, not a time-out."""

from __future__ import annotations

from deployment import credentials
from deployment.settings import ROOT, Settings
from tests.unit.spawner.as_the_hub import started
from traitlets.config import PyFileConfigLoader

from cernvmcontroller.app import CernVMController
from cernvmspawner.spawner import LAST_WORDS


async def test_a_start_ends_with_the_controllers_reason_before_the_hub_gives_it_up(
    spawner_of, monkeypatch, tmp_path
) -> None:
    own = CernVMController().settings().start_timeout
    assert spawner_of().start_timeout - LAST_WORDS > own
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    credentials.ensure(Settings.from_environment())
    config = PyFileConfigLoader("jupyterhub_config.py", str(ROOT)).load_config()
    assert config.Spawner.start_timeout - LAST_WORDS > own


async def test_a_hub_that_gives_up_before_the_controller_says_why_is_told_what_to_set(
    controller, spawner_of, caplog
) -> None:
    controller.start_timeout = 540
    await started(spawner_of(settings={"start_timeout": 300}))
    assert "set c.Spawner.start_timeout to at least 550" in caplog.text


async def test_a_hub_that_is_patient_enough_is_told_nothing(controller, spawner_of, caplog) -> None:
    controller.start_timeout = 540
    await started(spawner_of(settings={"start_timeout": 600}))
    assert "start_timeout" not in caplog.text
