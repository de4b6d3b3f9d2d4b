"""Optimisation jobs: ordered by consoles, run one at a time beside what the device serves."""
