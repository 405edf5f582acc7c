"""Exports: other forms of ``results/``, for trainers, tables and search.

`forms` is the table of all forms. `files` drives the forms that are files, `tables` those that are
tables.
"""
