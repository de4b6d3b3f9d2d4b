"""The agent that runs on every device. Never imports tui, fleet or textual; only workers load models."""
