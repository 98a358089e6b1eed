-- Records the results of reclassification runs and updates their tickets. Run by reclassification.py.
WITH incoming AS (
  SELECT i.run, i.ticket, decode(i.hex, 'hex') AS digest, i.reported, label, confidence, probabilities, band,
    model_version, tokens, truncated, abstain_reason, classified_at, language, proved, r.epoch, r.shadow, r.force, r.notify_flips
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    run bigint, ticket bigint, hex text, reported text, label text, confidence float8, probabilities jsonb, band text,
    model_version text, tokens int, truncated bool, abstain_reason text, classified_at timestamptz, language text,
    proved bool
  ) JOIN reclassify_runs r ON r.id = i.run AND r.state <> 'cancelled'
), locked AS (
  SELECT id, digest, revision, forgotten_at, text IS NULL AS textless, epoch, label, confidence, band
  FROM tickets WHERE id IN (SELECT ticket FROM incoming)
  ORDER BY source COLLATE "C", external_id COLLATE "C" FOR NO KEY UPDATE
), compared AS (
  SELECT i.*, l.revision, l.label AS before_label, l.confidence AS before_confidence, l.band AS before_band, CASE
      WHEN l.id IS NULL OR l.forgotten_at IS NOT NULL THEN 'gone' WHEN l.digest <> i.digest THEN 'changed'
      WHEN i.reported <> '' THEN i.reported WHEN l.textless THEN 'gone' ELSE 'changed'
    END AS outcome, i.epoch > l.epoch OR (i.force AND i.epoch = l.epoch) AS newer
  FROM incoming i LEFT JOIN locked l ON l.id = i.ticket
), previous AS (
  -- Locked after the tickets, because `compared` waits for their locks. So the outcome read here is the latest.
  SELECT run_id, ticket_id, outcome FROM run_changes WHERE (run_id, ticket_id) IN (SELECT run, ticket FROM compared)
  ORDER BY run_id, ticket_id FOR UPDATE
), recorded AS (
  UPDATE run_changes c SET outcome = n.outcome, before_label = n.before_label, before_confidence = n.before_confidence,
    before_band = n.before_band, after_label = a.label, after_confidence = a.confidence, after_band = a.band
  FROM compared n JOIN previous p ON (p.run_id, p.ticket_id) = (n.run, n.ticket)
  -- The run's label is not compared with a label that it may not replace, or with the label of another text.
  LEFT JOIN incoming a
    ON (a.run, a.ticket) = (n.run, n.ticket) AND n.outcome IN ('done', 'unchanged') AND (n.shadow OR n.newer)
  WHERE (c.run_id, c.ticket_id) = (n.run, n.ticket)
    AND (p.outcome = 'queued' OR (p.outcome = 'failed' AND n.outcome <> 'failed'))
  RETURNING c.run_id, c.ticket_id, c.outcome, c.before_label <> c.after_label AS flipped,
    p.outcome = 'failed' AS had_failed
), new_results AS (
  SELECT compared.* FROM compared JOIN recorded ON (run_id, ticket_id) = (run, ticket)
), new_predictions AS (
  INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version, tokens, truncated,
    abstain_reason, classified_at, epoch, revision)
  SELECT DISTINCT ON (ticket, digest, model_version) ticket, digest, label, confidence, probabilities, band,
    model_version, tokens, truncated, abstain_reason, classified_at, CASE WHEN shadow THEN 0 ELSE epoch END, revision
  FROM new_results WHERE outcome = 'done'
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE SET
    label = excluded.label, confidence = excluded.confidence, probabilities = excluded.probabilities,
    band = excluded.band, model_version = excluded.model_version, tokens = excluded.tokens,
    truncated = excluded.truncated, abstain_reason = excluded.abstain_reason, classified_at = excluded.classified_at
  WHERE excluded.ticket_id IN (SELECT ticket FROM new_results WHERE force)
), new_labels AS (
  INSERT INTO labels (label, name) SELECT DISTINCT label, label FROM new_results WHERE label IS NOT NULL
  ON CONFLICT DO NOTHING
), updated AS (
  UPDATE tickets t SET state = 'classified', epoch = n.epoch, label = n.label, confidence = n.confidence,
    probabilities = n.probabilities, band = n.band, model_version = n.model_version, tokens = n.tokens,
    truncated = n.truncated, abstain_reason = n.abstain_reason, classified_at = n.classified_at,
    language = coalesce(n.language, t.language)
  FROM new_results n
  -- `compared` has read the text under the ticket's lock: this statement may see an older one.
  WHERE t.id = n.ticket AND n.outcome IN ('done', 'unchanged') AND NOT n.shadow AND n.newer
  RETURNING t.id, t.source, t.digest, n.proved,
    n.before_label IS NULL AS first, CASE
      WHEN n.before_label IS NULL THEN t.lane = 'live' ELSE n.notify_flips AND n.before_label <> n.label
    END AS notify
), queued_deliveries AS (
  -- The first result of a text that came while there was no model is delivered as if a window had stored it.
  INSERT INTO deliveries (target, ticket_id)
  SELECT result_targets.target, updated.id
  FROM updated JOIN result_targets USING (source)
  WHERE updated.proved AND (
    updated.notify OR (updated.first AND EXISTS (
      SELECT FROM deliveries d WHERE (d.ticket_id, d.target) = (updated.id, result_targets.target)
    ))
  ) AND NOT EXISTS (
    SELECT FROM reviews v WHERE (v.ticket_id, v.digest) = (updated.id, updated.digest) AND v.label IS NOT NULL
  )
  ON CONFLICT (ticket_id, target) DO UPDATE
    SET state = 'waiting', created_at = now(), attempts = 0, next_at = now(), finished_at = NULL
), failed_tickets AS (
  UPDATE tickets t SET state = 'failed' FROM new_results n
  WHERE t.id = n.ticket AND n.outcome = 'failed' AND t.state = 'unlabelled'
), counts AS (
  SELECT run, count(*) FILTER (WHERE flipped) AS flips, count(*) FILTER (WHERE had_failed) AS had_failed,
    count(*) FILTER (WHERE outcome = 'done') AS done,
    count(*) FILTER (WHERE outcome = 'unchanged') AS unchanged,
    count(*) FILTER (WHERE outcome = 'changed') AS changed,
    count(*) FILTER (WHERE outcome = 'gone') AS gone,
    count(*) FILTER (WHERE outcome = 'failed') AS failed
  FROM (SELECT run_id AS run, outcome, flipped, had_failed FROM recorded) AS outcomes GROUP BY run
)
UPDATE reclassify_runs r SET flips = r.flips + counts.flips, failed = r.failed + counts.failed - counts.had_failed,
  done = r.done + counts.done, unchanged = r.unchanged + counts.unchanged,
  changed = r.changed + counts.changed, gone = r.gone + counts.gone
FROM counts WHERE r.id = counts.run
