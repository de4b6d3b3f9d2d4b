"""Faults done to a real agent under real load, and what its clients saw of them; see `docs/faults.md`."""
