-- Stamps each ticket with the transaction that last changed its current result: the order of the change feed (INV-26, INV-27).
-- Triggers, so that no statement can leave it out. The column's default stamps a new ticket, and the window's statement a
-- new text.
CREATE FUNCTION stamp_changed_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed_xid := pg_current_xact_id();
  RETURN NEW;
END $$;

CREATE TRIGGER stamp_changed_ticket BEFORE UPDATE ON tickets FOR EACH ROW WHEN (
  NEW.changed_xid = OLD.changed_xid AND
  (NEW.forgotten_at, NEW.digest, NEW.label, NEW.confidence, NEW.band, NEW.model_version, NEW.classified_at, NEW.tokens,
   NEW.truncated, NEW.abstain_reason) IS DISTINCT FROM
  (OLD.forgotten_at, OLD.digest, OLD.label, OLD.confidence, OLD.band, OLD.model_version, OLD.classified_at, OLD.tokens,
   OLD.truncated, OLD.abstain_reason)
) EXECUTE FUNCTION stamp_changed_ticket();

-- Stamps the ticket even if the review is of another text, because a concurrent transaction may be restoring that
-- text. Receivers that have a result of the ticket get the effective label.
CREATE FUNCTION stamp_reviewed_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE tickets SET changed_xid = pg_current_xact_id() WHERE id = coalesce(NEW.ticket_id, OLD.ticket_id);
  UPDATE deliveries SET state = 'waiting', created_at = now(), attempts = 0, next_at = now(), finished_at = NULL
  WHERE ticket_id = coalesce(NEW.ticket_id, OLD.ticket_id) AND target IN (SELECT target FROM result_targets);
  RETURN NULL;
END $$;

CREATE TRIGGER stamp_reviewed_ticket AFTER INSERT OR UPDATE OF label OR DELETE ON reviews
FOR EACH ROW EXECUTE FUNCTION stamp_reviewed_ticket();

-- Whether a receiver has a delivery of a ticket. A function, because it also sees the deliveries of a run for whose lock
-- on the ticket the calling statement waited.
CREATE FUNCTION has_delivery(ticket bigint, receiver text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM deliveries WHERE (ticket_id, target) = (ticket, receiver));
END $$;
