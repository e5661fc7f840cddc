"""All of Ray: sessions, actors, groups of workers and coordinators, and how work travels between them."""
