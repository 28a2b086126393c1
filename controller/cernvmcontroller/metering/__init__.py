"""What machines use of processors, memory, disks and networks: sampled, kept, served.

`counters` turns what a host says into amounts, `tally` says whose they are, `tiers` how long which resolution
is kept: pure functions. `meter` does the work every 30 seconds, `history` and `statistics` answer questions.
"""

from cernvmcontroller.metering.history import UsageHistory
from cernvmcontroller.metering.meter import Meter

__all__ = ["Meter", "UsageHistory"]
