"""Telemetry that survives being offline: kept on the device until every console has it."""
