-- Roles belong to the server: the migration of another database may have created them, perhaps at this moment. This
-- login may lack the right to change roles that another login created, or a database that another login owns.
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
  BEGIN
    ALTER ROLE triagem_reader SET search_path = analytics;
    ALTER ROLE triagem_reader SET statement_timeout = '5min';
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'not allowed to limit readers: see docs/reference/sql.md';
  END;
END $$;

GRANT USAGE ON SCHEMA analytics TO triagem_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO triagem_reader;
GRANT SELECT ON results, label_paths, alembic_version TO triagem_writer;
