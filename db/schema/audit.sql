-- Rows of the audit trail are only added. Retention may delete those older than 30 days.
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.at < now() - interval '30 days' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'rows of the audit trail cannot be changed, nor deleted within 30 days'
    USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER keep_audit BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit();
