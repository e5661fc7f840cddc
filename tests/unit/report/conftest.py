from support.reported_runs import corpus_of, evaluation, record, records

__all__ = ["corpus_of", "evaluation", "record", "records"]
