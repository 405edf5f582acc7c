"""The pipeline for Python programs: from URIs to a folder, from a Dataset to a Dataset, and one
file at a time.

`internvl_batch` re-exports it. Nothing here changes the process that calls it, except within a
call.
"""
