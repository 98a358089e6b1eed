"""Outbox: deliveries of results and alert digests, the alerts, and the monitor's statistics and state."""
