"""The pipe: tickets out of the inbox, through the engine, into the database, then settled."""
