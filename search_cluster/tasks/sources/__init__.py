"""Where a user's tasks come from: files of one's own, the hub, EleutherAI's harness."""
