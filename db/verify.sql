-- Checks of `triagem db verify`: each query selects a name for every row that contradicts a rule.

-- result-in-history: a ticket's result has no prediction in the history, or one that differs
SELECT t.source || ' ' || t.external_id
FROM tickets t
LEFT JOIN predictions p ON (p.ticket_id, p.digest, p.model_version) = (t.id, t.digest, t.model_version)
WHERE t.state = 'classified'
  AND (p.label, p.confidence, p.band) IS DISTINCT FROM (t.label, t.confidence, t.band);

-- newest-result: a ticket's result is older than another one of the same text: run `triagem reclassify start`
SELECT DISTINCT t.source || ' ' || t.external_id
FROM tickets t JOIN predictions p ON (p.ticket_id, p.digest) = (t.id, t.digest)
WHERE t.state = 'classified' AND p.epoch > t.epoch;

-- newest-revision: a prediction is of a revision or text that its ticket has not had
SELECT DISTINCT t.source || ' ' || t.external_id
FROM tickets t JOIN predictions p ON p.ticket_id = t.id
WHERE t.forgotten_at IS NULL
  AND (p.revision > t.revision OR (p.revision = t.revision AND p.digest <> t.digest));

-- searchable: a ticket's text is neither indexed for the search nor queued to be indexed
SELECT t.source || ' ' || t.external_id
FROM tickets t
WHERE t.text IS NOT NULL AND t.source <> 'predict'
  AND NOT EXISTS (SELECT FROM ticket_lexemes l WHERE (l.ticket_id, l.digest) = (t.id, t.digest))
  AND NOT EXISTS (SELECT FROM search_queue q WHERE q.ticket_id = t.id);

-- purged-text: words of a purged text are still indexed
SELECT t.source || ' ' || t.external_id
FROM tickets t JOIN ticket_lexemes l ON l.ticket_id = t.id
WHERE t.text IS NULL AND t.forgotten_at IS NULL;

-- forgotten-ticket: rows of a forgotten ticket are left: run `triagem db forget` for it again
SELECT DISTINCT t.source || ' ' || t.external_id
FROM tickets t JOIN (
  SELECT ticket_id FROM predictions
  UNION ALL SELECT ticket_id FROM messages
  UNION ALL SELECT ticket_id FROM ticket_lexemes
  UNION ALL SELECT ticket_id FROM samples
  UNION ALL SELECT ticket_id FROM reviews
  UNION ALL SELECT ticket_id FROM review_draws
  UNION ALL SELECT ticket_id FROM label_questions
  UNION ALL SELECT ticket_id FROM run_changes
  UNION ALL SELECT ticket_id FROM deliveries
  UNION ALL SELECT ticket_id FROM alerts
) x ON x.ticket_id = t.id
WHERE t.forgotten_at IS NOT NULL;

-- ticketless-prediction: a prediction belongs to no ticket
SELECT 'prediction of the deleted ticket ' || p.ticket_id
FROM predictions p
WHERE NOT EXISTS (SELECT FROM tickets t WHERE t.id = p.ticket_id);

-- alerted-result: an alert is about a result that is not in the history
SELECT 'alert ' || a.id
FROM alerts a
WHERE a.ticket_id IS NOT NULL AND NOT EXISTS (
  SELECT FROM predictions p
  WHERE (p.ticket_id, p.digest, p.model_version) = (a.ticket_id, a.digest, a.model_version)
);

-- finished-delivery: a waiting delivery has an end time, or a finished one has none
SELECT 'delivery ' || id FROM deliveries WHERE (state = 'waiting') <> (finished_at IS NULL);

-- delivered-revision: a receiver has the result of an earlier text, and no delivery is waiting
SELECT d.target || ' ' || t.source || ' ' || t.external_id
FROM deliveries d JOIN tickets t ON t.id = d.ticket_id JOIN result_targets USING (target)
WHERE d.state = 'delivered' AND d.delivered_revision IS DISTINCT FROM t.revision AND t.state = 'classified';

-- finished-run: a run is done, but some of its tickets have no outcome
SELECT 'run ' || id
FROM reclassify_runs r
WHERE state = 'done' AND (
  cursor < last_id OR put <> done + unchanged + changed + gone + failed
  OR EXISTS (SELECT FROM run_changes c WHERE c.run_id = r.id AND c.outcome = 'queued')
);

-- run-counts: a run has more tickets with an outcome than its counter says
SELECT 'run ' || r.id
FROM reclassify_runs r JOIN (
  SELECT run_id, count(*) AS put, count(*) FILTER (WHERE outcome = 'done') AS done,
    count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged, count(*) FILTER (WHERE outcome = 'changed') AS changed,
    count(*) FILTER (WHERE outcome = 'gone') AS gone, count(*) FILTER (WHERE outcome = 'failed') AS failed
  FROM run_changes GROUP BY run_id
) c ON c.run_id = r.id
WHERE c.put > r.put OR c.done > r.done OR c.unchanged > r.unchanged OR c.changed > r.changed OR c.gone > r.gone
  OR c.failed > r.failed;

-- known-label: a result or a prediction has a label that the table of labels lacks
SELECT DISTINCT label
FROM (SELECT label FROM tickets WHERE state = 'classified' UNION SELECT label FROM predictions) x
WHERE NOT EXISTS (SELECT FROM labels l WHERE l.label = x.label);

-- known-version: results are by a version that was never copied from the registry
SELECT p.model_version
FROM predictions p
WHERE p.classified_at < now() - interval '5 minutes' AND EXISTS (SELECT FROM model_versions)
  AND NOT EXISTS (SELECT FROM model_versions v WHERE v.version = p.model_version)
GROUP BY p.model_version;

-- promoted-epoch: results are of a promotion that was never copied from the registry
SELECT 'epoch ' || p.epoch
FROM predictions p
WHERE p.classified_at < now() - interval '5 minutes' AND p.epoch > (SELECT max(epoch) FROM model_promotions)
GROUP BY p.epoch;
