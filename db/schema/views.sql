-- Views for Triagem itself. People query the schema `analytics`.

-- The current results; a ticket without one is left out. The column `unclear` exists because `reviewed AND label =
-- model_label` alone would count an unclear verdict as a confirmation. NOT EXISTS finds the latest review, not
-- LATERAL ... LIMIT 1, because the planner can then choose the join: a page still takes 1 ms, and reading everything
-- (a million tickets, 50,000 reviews) takes half the time.
CREATE VIEW results AS
SELECT t.id AS ticket_id, t.source, t.external_id, t.lane, t.channel,
       t.language, coalesce(r.label, t.label) AS label, t.confidence, t.band, t.abstain_reason, t.label AS model_label,
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
WHERE t.state = 'classified';

-- The path of each label from its topmost parent.
CREATE VIEW label_paths AS
WITH RECURSIVE paths AS (
  SELECT label, label AS path FROM labels WHERE parent IS NULL
  UNION ALL
  SELECT labels.label, paths.path || '/' || labels.label FROM labels JOIN paths ON labels.parent = paths.label
)
SELECT label, path FROM paths;
