"""All of Ray: sessions, actors, groups of workers and of coordinators, training."""
