"""Delivers results to CRMs. Runs in the ops worker and needs Postgres and HTTP; a CRM's own process needs neither."""
