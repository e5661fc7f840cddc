"""Where paths are evaluated: one worker per device, in this process or in a Ray actor."""
