"""What runs inside a machine: takes the session over a virtio channel, mounts the home, runs the server.

Standard library only, of the Python of the oldest appliance (3.11). Under emulation an import costs ten times
what it costs elsewhere, and somebody waits for each: modules here import little, and nothing without need.
"""

__version__ = "0.1.0"
