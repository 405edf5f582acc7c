from pipelines.ledger.ledger import Book, Counts, Ledger, State

__all__ = ["Book", "Counts", "Ledger", "State"]
