"""Telemetry: how the controller is and what it does, in numbers and words."""
