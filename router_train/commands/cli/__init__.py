"""The command line of each command of ``router-train``: its options."""
