"""The command line of each command: its options, and how its result is printed."""
