"""Where a machine goes: pure functions from what is known of the hosts to a choice with its reasons."""

from cernvmcontroller.placement.candidate import Candidate, Overcommit, Wish
from cernvmcontroller.placement.choice import Choice, choose, rank
from cernvmcontroller.placement.policy import Policy

__all__ = ["Candidate", "Choice", "Overcommit", "Policy", "Wish", "choose", "rank"]
