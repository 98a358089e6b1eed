-- Roles belong to the server: another database, perhaps at the same time, may have created them already.
DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['triagem_reader', 'triagem_writer'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
  END LOOP;
END $$;

GRANT SELECT ON results, history, daily TO triagem_reader, triagem_writer;
GRANT SELECT ON alembic_version TO triagem_writer;
