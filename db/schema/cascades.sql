-- Deletes the predictions of deleted tickets, as a foreign key would. The function's DELETE also sees predictions of a
-- statement for whose lock on the ticket the deletion waited.
CREATE FUNCTION delete_predictions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM predictions WHERE ticket_id IN (SELECT id FROM deleted);
  RETURN NULL;
END $$;

CREATE TRIGGER delete_predictions AFTER DELETE ON tickets REFERENCING OLD TABLE AS deleted
FOR EACH STATEMENT EXECUTE FUNCTION delete_predictions();
