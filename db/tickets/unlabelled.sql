-- Stores tickets that came while there was no model, without a result. Run by window.py.
-- A newer text replaces the ticket's text and, if it differs, removes the result; an older one changes nothing.
WITH incoming AS (
  SELECT source, external_id, text, decode(digest, 'hex') AS digest, revised_at, arrival, metadata, received_at, lane,
    channel, on_reply
  FROM json_to_recordset(CAST(:rows AS json)) AS i(
    source text, external_id text, text text, digest text, revised_at timestamptz, arrival bigint, metadata jsonb,
    received_at timestamptz, lane text, channel text, on_reply text
  )
), stored AS (
  INSERT INTO tickets AS t (source, external_id, text, digest, revised_at, arrival, revision, metadata, state, epoch,
    received_at, lane, channel, on_reply)
  SELECT source, external_id, text, digest, revised_at, arrival, 1, metadata, 'unlabelled', 0, received_at, lane,
    channel, on_reply
  FROM incoming ORDER BY source COLLATE "C", external_id COLLATE "C"
  ON CONFLICT (source, external_id) DO UPDATE SET
    text = excluded.text, digest = excluded.digest, revised_at = excluded.revised_at, arrival = excluded.arrival,
    metadata = excluded.metadata, channel = coalesce(t.channel, excluded.channel),
    lane = CASE WHEN excluded.lane = 'live' THEN 'live' ELSE t.lane END,
    revision = t.revision + (excluded.digest <> t.digest)::int,
    state = CASE WHEN excluded.digest = t.digest THEN t.state ELSE 'unlabelled' END,
    epoch = CASE WHEN excluded.digest = t.digest THEN t.epoch ELSE 0 END,
    (label, confidence, probabilities, band, abstain_reason, model_version, tokens, truncated, classified_at) = (
      SELECT t.label, t.confidence, t.probabilities, t.band, t.abstain_reason, t.model_version, t.tokens, t.truncated,
        t.classified_at WHERE excluded.digest = t.digest
    )
  -- A whole text of a conversation is one of its messages: it is not stored here.
  WHERE t.forgotten_at IS NULL AND (excluded.revised_at, excluded.arrival) > (t.revised_at, t.arrival)
    AND (excluded.on_reply IS NOT NULL OR t.on_reply IS NULL)
  RETURNING id
)
INSERT INTO search_queue (ticket_id) SELECT id FROM stored
