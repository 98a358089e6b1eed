"""Reads files of records: CSV and JSON lines in any usual encoding, and the times in them. It does no other I/O."""
