"""Benchmarks of EdgeConsole: `python -m benchmarks.serving` measures it beside its peers."""
