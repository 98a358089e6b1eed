"""Alert rules, notification channels, message texts and the system monitor."""
