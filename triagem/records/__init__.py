"""Reads files of records: CSV and JSON lines in any usual encoding, and the times in them. No I/O but the files."""
