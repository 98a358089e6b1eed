-- Views for people who query (docs/reference/sql.md). They contain no texts.

-- `unclear`: without it, `reviewed AND label = model_label` would count an unclear verdict as a confirmation.
-- The latest review by NOT EXISTS, not by LATERAL ... LIMIT 1: that leaves the planner its choice. A page stays at
-- 1 ms, and reading everything (a million tickets, 50,000 reviews) takes half the time.
CREATE VIEW results AS
SELECT t.id AS ticket_id, t.source, t.external_id,
       coalesce(r.label, t.label) AS label, t.confidence, t.band, t.label AS model_label,
       r.ticket_id IS NOT NULL AS reviewed, r.reviewer, r.reviewed_at, t.probabilities, t.model_version,
       t.revised_at, t.received_at, t.classified_at, t.tokens, t.truncated,
       r.ticket_id IS NOT NULL AND r.label IS NULL AS unclear, t.revision
FROM tickets t
LEFT JOIN (
  SELECT * FROM reviews
  WHERE NOT EXISTS (
    SELECT FROM reviews later
    WHERE later.ticket_id = reviews.ticket_id AND later.digest = reviews.digest AND later.id > reviews.id
  )
) r ON r.ticket_id = t.id AND r.digest = t.digest
WHERE t.forgotten_at IS NULL;

CREATE VIEW history AS
SELECT p.ticket_id, t.source, t.external_id, p.model_version, p.label, p.confidence, p.band,
       p.probabilities, p.tokens, p.truncated, p.classified_at,
       p.digest = t.digest AS of_current_text,
       p.digest = t.digest AND p.model_version = t.model_version AS is_current, p.revision
FROM predictions p JOIN tickets t ON t.id = p.ticket_id
WHERE t.forgotten_at IS NULL;

CREATE VIEW daily AS
SELECT (received_at AT TIME ZONE 'UTC')::date AS day, source, label, count(*) AS tickets,
       avg(confidence) AS mean_confidence, avg((band <> 'automate')::int)::float8 AS review_share,
       count(*) FILTER (WHERE reviewed) AS reviewed
FROM results GROUP BY 1, 2, 3;
