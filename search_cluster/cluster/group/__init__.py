"""What a group of workers is made of: its members, what waits for them, and who was lost."""
