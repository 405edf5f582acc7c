"""Folders that are tables: what is read of them, a log or a list of files says, and not the
folder."""
