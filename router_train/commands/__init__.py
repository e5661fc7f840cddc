"""What each command of ``router-train`` does."""
