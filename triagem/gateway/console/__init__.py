"""The console: server-rendered pages to monitor, search, review and promote models. Requires an API key."""
