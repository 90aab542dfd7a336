"""The typed records of metrics.json, run.json and examples.json: what is written, what is read, and the schema of it."""
