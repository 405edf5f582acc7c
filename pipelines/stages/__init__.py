"""The stages as Ray Data runs them: a table in, the table with more columns out, rows in the same order.

The work itself is in ``internvl_ops``; here is only how it is fed from Arrow columns. A row whose error column is set
passes every stage untouched.
"""
