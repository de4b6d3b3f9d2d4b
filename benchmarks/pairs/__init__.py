"""Models and data that variants are measured on: one file for each source."""
