"""Where paths are evaluated: one worker per device, in this process or as Ray actors (the Ray room)."""
