-- Stores a window of classified tickets with their predictions, alerts and deliveries. Run by window.py.
WITH incoming AS (
  SELECT source, external_id, text, decode(digest, 'hex') AS digest, revised_at, arrival, metadata, epoch, label,
    confidence, probabilities, band, model_version, tokens, truncated, classified_at, received_at,
    lane = 'live' AND source <> :predict AS live, proved, lane, channel, language, abstain_reason, on_reply
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    source text, external_id text, text text, digest text, revised_at timestamptz, arrival bigint,
    metadata jsonb, epoch bigint, label text, confidence float8, probabilities jsonb, band text, model_version text, tokens int, truncated bool,
    classified_at timestamptz, received_at timestamptz, proved bool,
    lane text, channel text, language text, abstain_reason text, on_reply text
  )
), stored AS (
  INSERT INTO tickets AS t (source, external_id, text, digest, revised_at, arrival, revision, metadata, state, epoch,
    label, confidence, probabilities, band, model_version, tokens, truncated, classified_at, received_at, lane, channel,
    language, abstain_reason, on_reply)
  SELECT source, external_id, text, digest, revised_at, arrival, 1, metadata, 'classified', epoch, label,
    confidence, probabilities, band, model_version, tokens, truncated, classified_at, received_at, lane, channel,
    language, abstain_reason, on_reply
  FROM incoming ORDER BY source COLLATE "C", external_id COLLATE "C"
  -- Also updates rows for which nothing is newer: RETURNING yields the ticket's id, for the history, only then.
  -- The newest text is the last one by (revised_at, arrival); if it differs from the ticket's, it is a new revision.
  ON CONFLICT (source, external_id) DO UPDATE SET
    revision = t.revision + ((excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) AND excluded.digest <> t.digest)::int,
    -- As the trigger stamp_changed_ticket does, whose call takes 5 to 10 % of the CPU time of an edit.
    changed_xid = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) AND excluded.digest <> t.digest THEN pg_current_xact_id() ELSE t.changed_xid END,
    text = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) THEN excluded.text ELSE t.text END,
    digest = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) THEN excluded.digest ELSE t.digest END,
    revised_at = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) THEN excluded.revised_at ELSE t.revised_at END,
    arrival = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) THEN excluded.arrival ELSE t.arrival END,
    metadata = CASE WHEN (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) THEN excluded.metadata ELSE t.metadata END,
    -- The result of a new revision replaces the ticket's; one of the same text, only if a later promotion made it.
    state = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.state ELSE t.state END,
    epoch = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.epoch ELSE t.epoch END,
    label = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.label ELSE t.label END,
    confidence = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.confidence ELSE t.confidence END,
    probabilities = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.probabilities ELSE t.probabilities END,
    band = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.band ELSE t.band END,
    abstain_reason = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.abstain_reason ELSE t.abstain_reason END,
    model_version = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.model_version ELSE t.model_version END,
    tokens = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.tokens ELSE t.tokens END,
    truncated = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.truncated ELSE t.truncated END,
    classified_at = CASE WHEN CASE WHEN excluded.digest = t.digest THEN excluded.epoch > t.epoch ELSE (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival) END THEN excluded.classified_at ELSE t.classified_at END,
    language = CASE WHEN (excluded.revised_at, excluded.arrival) >= (t.revised_at, t.arrival) THEN excluded.language ELSE t.language END,
    lane = CASE WHEN excluded.lane = 'live' THEN 'live' ELSE t.lane END,
    channel = coalesce(t.channel, excluded.channel)
  -- A whole text of a conversation is one of its messages: it is not stored here (window.py).
  WHERE t.forgotten_at IS NULL AND (t.on_reply IS NULL OR excluded.on_reply IS NOT NULL)
    -- An entry that is delivered again after its commit changes nothing, unless its prediction is missing.
    AND ((excluded.revised_at, excluded.arrival, excluded.digest, excluded.epoch, excluded.model_version)
        IS DISTINCT FROM (t.revised_at, t.arrival, t.digest, t.epoch, t.model_version)
      OR excluded.lane = 'live' AND t.lane <> 'live'
      -- An import's worker may have judged this live message and raised no alert.
      OR excluded.lane = 'live' AND excluded.on_reply IS NOT NULL AND t.band <> 'automate'
      OR NOT EXISTS (
        SELECT FROM predictions p
        WHERE (p.ticket_id, p.digest, p.model_version) = (t.id, excluded.digest, excluded.model_version)
      ))
  RETURNING id, source, external_id, revision, digest AS current_digest, model_version AS current_version,
    label AS current_label, confidence AS current_confidence, band AS current_band,
    classified_at AS current_classified_at, lane AS ticket_lane, changed_xid = pg_current_xact_id() AS changed,
    xmax = 0 AS added
), new_predictions AS (
  INSERT INTO predictions (ticket_id, digest, label, confidence, probabilities, band, model_version, tokens, truncated,
    classified_at, epoch, revision, latency_s, abstain_reason)
  SELECT stored.id, incoming.digest, label, confidence, probabilities, band, model_version, tokens, truncated,
    classified_at, epoch, CASE WHEN incoming.digest = current_digest THEN revision END,
    CASE WHEN live THEN greatest(0, extract(epoch FROM now() - received_at)) END,
    abstain_reason
  FROM incoming JOIN stored USING (source, external_id)
  -- A text that was edited back may have been classified again, by a worker whose different review budget led to
  -- another band: the history gets the ticket's band.
  ON CONFLICT (ticket_id, digest, model_version) DO UPDATE SET (label, confidence, probabilities, band, classified_at) =
    (excluded.label, excluded.confidence, excluded.probabilities, excluded.band, excluded.classified_at)
  WHERE (predictions.label, predictions.confidence, predictions.band) <> (excluded.label, excluded.confidence, excluded.band)
    AND EXISTS (
      SELECT FROM stored
      WHERE (id, current_digest, current_version) = (excluded.ticket_id, excluded.digest, excluded.model_version)
        AND (current_label, current_confidence, current_band) = (excluded.label, excluded.confidence, excluded.band)
    )
  RETURNING ticket_id
), new_alerts AS (
  -- About the ticket's result: if a live text comes late, its result may be of a newer text that came in bulk. An
  -- import's worker, which raises no alert, may have stored the result of this text before, and that of a conversation
  -- since this live message was received. All reads of `tickets` here show the rows before this statement.
  INSERT INTO alerts (ticket_id, digest, model_version, band, confidence)
  SELECT stored.id, current_digest, current_version, current_band, current_confidence
  FROM stored JOIN incoming USING (source, external_id)
  WHERE incoming.live AND current_band <> 'automate' AND incoming.proved
    AND incoming.model_version = current_version
    AND (stored.id IN (SELECT ticket_id FROM new_predictions)
      OR CASE
        WHEN incoming.on_reply IS NOT NULL THEN current_classified_at >= incoming.received_at
        ELSE NOT EXISTS (SELECT FROM tickets before WHERE before.id = stored.id AND before.lane = 'live')
      END)
  ON CONFLICT DO NOTHING
  RETURNING 1
), queued_deliveries AS (
  -- A receiver gets the result of a ticket if any text of the ticket came live, whichever text the result is for. It
  -- also gets each change of a ticket whose result it has. The lane is read under the ticket's lock, and so are the
  -- deliveries in `has_delivery`. Those of a concurrent live window are not visible here.
  INSERT INTO deliveries (target, ticket_id)
  SELECT result_targets.target, stored.id
  FROM stored JOIN incoming USING (source, external_id) JOIN result_targets USING (source)
  WHERE incoming.proved AND CASE
    WHEN stored.ticket_lane <> 'live'
    THEN stored.changed AND NOT stored.added AND has_delivery(stored.id, result_targets.target)
    ELSE stored.changed OR NOT EXISTS (
      SELECT FROM deliveries d WHERE (d.ticket_id, d.target) = (stored.id, result_targets.target)
    )
  END
  ON CONFLICT (ticket_id, target) DO UPDATE
    SET state = 'waiting', created_at = now(), attempts = 0, next_at = now(), finished_at = NULL
), new_labels AS (
  INSERT INTO labels (label, name) SELECT DISTINCT label, label FROM incoming ON CONFLICT DO NOTHING
), queued_for_search AS (
  INSERT INTO search_queue (ticket_id) SELECT id FROM stored
)
SELECT (SELECT count(*) FROM new_predictions), (SELECT count(*) FROM new_alerts), (SELECT count(*) FROM stored)
