"""Results back to the CRMs, by the ops worker: with Postgres and HTTP, which a CRM's own process does without."""
