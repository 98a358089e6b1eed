-- Otherwise the planner's statistics would keep values of these columns, even deleted ones, until the next ANALYZE.
ALTER TABLE tickets ALTER COLUMN text SET STATISTICS 0, ALTER COLUMN metadata SET STATISTICS 0;
ALTER TABLE dead_letters ALTER COLUMN payload SET STATISTICS 0;
ALTER TABLE ticket_lexemes ALTER COLUMN lexemes SET STATISTICS 0;
