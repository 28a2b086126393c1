"""What the controller's program does besides serving: one module a command, each with all its options."""

COMMANDS: dict[str, tuple[str, str]] = {
    "check": (
        "cernvmcontroller.commands.check.Check",
        "Say where the database and the hosts do not agree; with --repair, mend it.",
    ),
    "clean": (
        "cernvmcontroller.commands.clean.Clean",
        "Remove all that this hub made on its hosts: machines, homes, volumes, pool, network and filter.",
    ),
    "report": (
        "cernvmcontroller.commands.report.Report",
        "Collect what a bug report needs into one archive, without secrets.",
    ),
}
"""By name: where its application is (imported when it is called), and what it does."""
