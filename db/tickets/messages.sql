-- Stores messages of conversations, and returns the agents' and bots' that are new. Run by messages.py, after their
-- tickets exist.
WITH incoming AS (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS i(
    source text, external_id text, message_id text, author text, text text, revised_at timestamptz, arrival bigint,
    deleted bool, on_reply text, lane text
  )
), ticket AS MATERIALIZED (
  SELECT t.*
  FROM (
    SELECT source, external_id FROM incoming GROUP BY source, external_id
    ORDER BY source COLLATE "C", external_id COLLATE "C"
  ) AS i
  CROSS JOIN LATERAL (
    SELECT id, source, external_id, text, revised_at, arrival, on_reply, lane FROM tickets
    WHERE source = i.source AND external_id = i.external_id AND forgotten_at IS NULL FOR NO KEY UPDATE
  ) AS t
), versions AS (
  SELECT ticket.id AS ticket_id, message_id, author, CASE WHEN NOT deleted THEN incoming.text END AS text,
    incoming.revised_at, incoming.arrival, deleted, incoming.on_reply,
    author = 'customer' AND incoming.lane = 'live' AS live
  FROM incoming JOIN ticket USING (source, external_id)
  UNION ALL
  -- The text of a ticket that came whole is the message without an id.
  SELECT id, '', 'customer', text, revised_at, arrival, false, NULL, false FROM ticket
  WHERE on_reply IS NULL AND text IS NOT NULL
), newest AS (
  SELECT DISTINCT ON (ticket_id, message_id) ticket_id, message_id, text, revised_at, arrival, deleted,
    first_value(author) OVER (message ORDER BY deleted, revised_at DESC, arrival DESC) AS author,
    min(revised_at) OVER message AS written_at, min(text) OVER message <> max(text) OVER message AS edited
  FROM versions
  WINDOW message AS (PARTITION BY ticket_id, message_id)
  ORDER BY ticket_id, message_id, revised_at DESC, arrival DESC
), stored AS (
  INSERT INTO messages AS m (ticket_id, message_id, author, text, written_at, revised_at, arrival, edited_at,
    deleted_at)
  SELECT ticket_id, message_id, author, text, written_at, revised_at, arrival, CASE WHEN edited THEN revised_at END,
    CASE WHEN deleted THEN revised_at END
  FROM newest
  -- The newest version is the last one by (revised_at, arrival). Nothing changes when one is delivered again.
  ON CONFLICT (ticket_id, message_id) DO UPDATE SET
    -- A deletion need not name the author, which is that of another version.
    author = CASE
      WHEN excluded.deleted_at IS NOT NULL THEN m.author
      WHEN m.deleted_at IS NOT NULL OR (excluded.revised_at, excluded.arrival) > (m.revised_at, m.arrival) THEN excluded.author
      ELSE m.author
    END,
    text = CASE WHEN (excluded.revised_at, excluded.arrival) > (m.revised_at, m.arrival) THEN excluded.text ELSE m.text END,
    written_at = least(m.written_at, excluded.written_at),
    revised_at = greatest(m.revised_at, excluded.revised_at),
    arrival = CASE WHEN (excluded.revised_at, excluded.arrival) > (m.revised_at, m.arrival) THEN excluded.arrival ELSE m.arrival END,
    edited_at = CASE
      WHEN excluded.text = m.text OR excluded.text IS NULL OR m.text IS NULL THEN coalesce(m.edited_at, excluded.edited_at)
      WHEN excluded.revised_at >= m.revised_at THEN excluded.revised_at ELSE coalesce(m.edited_at, m.revised_at)
    END,
    deleted_at = CASE WHEN (excluded.revised_at, excluded.arrival) > (m.revised_at, m.arrival) THEN excluded.deleted_at ELSE m.deleted_at END
  WHERE (excluded.revised_at, excluded.arrival) > (m.revised_at, m.arrival) OR excluded.written_at < m.written_at
  -- `replaced`: a previous version may have been the customer's. A subquery could not read its author, because it does
  -- not see what was committed while this statement waited for the ticket's lock.
  RETURNING ticket_id, message_id, author, xmax <> 0 AS replaced
), changed AS (
  -- Includes a ticket for which nothing new was stored, but whose message came live for the first time.
  SELECT id, coalesce(bool_or(stored.author = 'customer'), false) AS by_customer,
    coalesce(bool_or(stored.author = 'customer' OR replaced), false) AS may_change, max(v.on_reply) AS on_reply,
    max(v.revised_at) AS revised_at, bool_or(v.live) AS live
  FROM ticket JOIN versions v ON v.ticket_id = id LEFT JOIN stored ON stored.ticket_id = id
  GROUP BY id, lane HAVING count(stored.ticket_id) > 0 OR (bool_or(v.live) AND lane <> 'live')
), updated AS (
  -- A text composed from what was read before this statement is older than one composed after it (messages.py).
  UPDATE tickets t SET
    on_reply = coalesce(changed.on_reply, t.on_reply, 'conversation'),
    revised_at = CASE WHEN by_customer THEN greatest(t.revised_at, changed.revised_at) ELSE t.revised_at END,
    arrival = t.arrival + CASE WHEN may_change THEN 2 ELSE 0 END,
    lane = CASE WHEN live THEN 'live' ELSE t.lane END
  FROM changed WHERE t.id = changed.id
)
SELECT source, external_id, message_id FROM stored JOIN ticket ON id = ticket_id
WHERE author <> 'customer' AND NOT replaced
