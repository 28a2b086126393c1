"""Agent, controller, layer and appliance are of one protocol."""

import re
import tomllib

from cernvmagent import protocol
from cernvmcontroller.guests import agentwire
from cernvmcontroller.hypervisor.interface import AGENT_CHANNEL


def test_all_parts_say_the_same_version(pytestconfig):
    appliance = pytestconfig.rootpath / "appliance"
    [layer] = re.findall(r"^PROTOCOL = (\d+)$", (appliance / "recipe/layer.py").read_text(), re.MULTILINE)
    recipe = tomllib.loads((appliance / "default/appliance.toml").read_text())
    assert protocol.PROTOCOL == agentwire.PROTOCOL == int(layer) == recipe["agent_protocol"]


def test_both_ends_meet_on_one_channel_with_lines_of_one_length():
    assert protocol.PORT_NAME == AGENT_CHANNEL
    assert protocol.MAX_LINE == agentwire.MAX_LINE
