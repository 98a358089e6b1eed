"""The console: pages where people see, search, review and decide. Server-rendered, behind a key."""
