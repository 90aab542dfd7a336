"""Breaks the job on purpose, on small runs; `__main__` says how it is called."""
