"""What is told of a run to those outside while it runs: files and servers that are asked by others."""
