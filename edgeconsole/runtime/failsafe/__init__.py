"""The failsafe ladder: what answers when the primary cannot, and why."""
