"""The stages as Ray Data runs them: each takes a table and returns it with more columns, rows in
the same order.

The work itself is in ``internvl_ops``; this package only connects it to Arrow columns. A row whose
error column is set passes every stage untouched.
"""
