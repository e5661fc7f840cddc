from support.reported_runs import records

__all__ = ["records"]
