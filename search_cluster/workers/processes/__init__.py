"""Workers of this machine in processes of their own, which are replaced when they break."""
