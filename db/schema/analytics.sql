-- The schema for people who query: no texts, digests or metadata, and nothing of POST /predict. docs/reference/sql.md
-- is generated from the comments (`make reference`).
CREATE SCHEMA analytics;
COMMENT ON SCHEMA analytics IS 'Views for people who query';

CREATE VIEW analytics.results AS
SELECT r.ticket_id, r.source, r.external_id, r.lane, r.channel, r.language, r.label,
       coalesce(p.path, r.label) AS label_path, r.confidence, r.band, r.abstain_reason, r.model_label, r.reviewed, r.unclear, r.reviewer,
       r.reviewed_at, r.probabilities, r.model_version, r.revision, r.revised_at, r.received_at, r.classified_at,
       r.tokens, r.truncated
FROM results r
LEFT JOIN label_paths p ON p.label = r.label
WHERE r.source <> 'predict';

COMMENT ON VIEW analytics.results IS 'The current result, one row per ticket';
COMMENT ON COLUMN analytics.results.ticket_id IS 'Triagem''s ticket id; joins all views';
COMMENT ON COLUMN analytics.results.source IS 'the CRM';
COMMENT ON COLUMN analytics.results.external_id IS 'the ticket''s id in the CRM';
COMMENT ON COLUMN analytics.results.lane IS '`live` if at least one text of the ticket came live, `bulk` if all were imported';
COMMENT ON COLUMN analytics.results.channel IS 'by which channel the customer wrote, in the CRM''s words; null if it does not say';
COMMENT ON COLUMN analytics.results.language IS 'ISO 639 code of the detected language; if the text is too short to detect it, the language that the CRM declares, else `und`';
COMMENT ON COLUMN analytics.results.label IS 'the effective label: that of the latest review of this text, otherwise the model''s; also the model''s if that review is "unclear"';
COMMENT ON COLUMN analytics.results.label_path IS 'the label after its parents, as `pagamento/estorno`; the label itself if it has no parent';
COMMENT ON COLUMN analytics.results.confidence IS 'the model''s calibrated confidence in `model_label`, 0 to 1';
COMMENT ON COLUMN analytics.results.band IS 'how the model''s result may be used: `automate` (act on it), `review` (a person should check it), `abstain` (do not act on it); by the thresholds in effect when it was made, or at the last `triagem reband`';
COMMENT ON COLUMN analytics.results.abstain_reason IS 'why the band is `abstain`: `automatic`, `no-words`, `greeting`, `other-script`, `other-language` or `unknown-words`; else null';
COMMENT ON COLUMN analytics.results.model_label IS 'the model''s label';
COMMENT ON COLUMN analytics.results.reviewed IS 'whether a person has reviewed this text';
COMMENT ON COLUMN analytics.results.unclear IS 'whether the latest review is "unclear"; `label` is then the model''s, which nobody has confirmed';
COMMENT ON COLUMN analytics.results.reviewer IS 'who wrote the latest review; null without a review';
COMMENT ON COLUMN analytics.results.reviewed_at IS 'time of the latest review';
COMMENT ON COLUMN analytics.results.probabilities IS 'the probability of each label: `probabilities->>''venda''`';
COMMENT ON COLUMN analytics.results.model_version IS 'the model version that made this prediction';
COMMENT ON COLUMN analytics.results.revision IS 'the number of the ticket''s text: 1 for the first, one more for each changed text';
COMMENT ON COLUMN analytics.results.revised_at IS 'when the text was written, according to the CRM';
COMMENT ON COLUMN analytics.results.received_at IS 'when we first received the ticket; never changes';
COMMENT ON COLUMN analytics.results.classified_at IS 'when this prediction was made';
COMMENT ON COLUMN analytics.results.tokens IS 'the length of the text, in tokens of the model';
COMMENT ON COLUMN analytics.results.truncated IS 'whether the text was too long, so that the model did not read its end';

CREATE VIEW analytics.history AS
SELECT h.ticket_id, t.source, t.external_id, t.lane, t.channel, t.language,
       h.model_version, h.label, coalesce(p.path, h.label) AS label_path, h.confidence, h.band, h.abstain_reason, h.probabilities,
       h.revision, h.classified_at, h.tokens, h.truncated, h.digest = t.digest AS of_current_text,
       h.digest = t.digest AND h.model_version = t.model_version AS is_current
FROM predictions h
JOIN tickets t ON t.id = h.ticket_id
LEFT JOIN label_paths p ON p.label = h.label
WHERE t.forgotten_at IS NULL AND t.source <> 'predict';

COMMENT ON VIEW analytics.history IS 'All predictions, one row per ticket, text and model version';
COMMENT ON COLUMN analytics.history.ticket_id IS 'the ticket';
COMMENT ON COLUMN analytics.history.source IS 'the CRM';
COMMENT ON COLUMN analytics.history.external_id IS 'the ticket''s id in the CRM';
COMMENT ON COLUMN analytics.history.lane IS 'the ticket''s lane, as in `results`';
COMMENT ON COLUMN analytics.history.channel IS 'by which channel the customer wrote, as in `results`';
COMMENT ON COLUMN analytics.history.language IS 'the language, as in `results`';
COMMENT ON COLUMN analytics.history.model_version IS 'the model version that predicted';
COMMENT ON COLUMN analytics.history.label IS 'the label that this version predicted';
COMMENT ON COLUMN analytics.history.label_path IS 'this label after its parents';
COMMENT ON COLUMN analytics.history.confidence IS 'the version''s confidence in this label';
COMMENT ON COLUMN analytics.history.band IS 'the band by the thresholds at that time; for the current prediction, the band in `results`';
COMMENT ON COLUMN analytics.history.abstain_reason IS 'why that band is `abstain`; else null';
COMMENT ON COLUMN analytics.history.probabilities IS 'the probability of each label';
COMMENT ON COLUMN analytics.history.revision IS 'the revision of the text; null if the text came after a newer one';
COMMENT ON COLUMN analytics.history.classified_at IS 'time of the prediction';
COMMENT ON COLUMN analytics.history.tokens IS 'the length of the text, in tokens of the model';
COMMENT ON COLUMN analytics.history.truncated IS 'whether the text was truncated';
COMMENT ON COLUMN analytics.history.of_current_text IS 'whether it is for the ticket''s current text. Compare versions only where it is true for both';
COMMENT ON COLUMN analytics.history.is_current IS 'whether it is the prediction in `results`';

CREATE VIEW analytics.daily AS
SELECT (received_at AT TIME ZONE 'UTC')::date AS day, source, lane, channel, language, label, label_path, band,
       count(*) AS tickets, avg(confidence) AS mean_confidence, count(*) FILTER (WHERE reviewed) AS reviewed
FROM analytics.results
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

COMMENT ON VIEW analytics.daily IS 'Counts by day of receipt in UTC, CRM, lane, channel, language, effective label and band';
COMMENT ON COLUMN analytics.daily.day IS 'the day of receipt, in UTC. For days of another time zone, count `results` by `(received_at AT TIME ZONE ''America/Sao_Paulo'')::date`';
COMMENT ON COLUMN analytics.daily.source IS 'the CRM';
COMMENT ON COLUMN analytics.daily.lane IS 'the tickets'' lane, as in `results`';
COMMENT ON COLUMN analytics.daily.channel IS 'by which channel the customers wrote, as in `results`';
COMMENT ON COLUMN analytics.daily.language IS 'the language, as in `results`';
COMMENT ON COLUMN analytics.daily.label IS 'the effective label';
COMMENT ON COLUMN analytics.daily.label_path IS 'the effective label after its parents';
COMMENT ON COLUMN analytics.daily.band IS 'the model''s band';
COMMENT ON COLUMN analytics.daily.tickets IS 'number of tickets';
COMMENT ON COLUMN analytics.daily.mean_confidence IS 'the model''s mean confidence in its own label';
COMMENT ON COLUMN analytics.daily.reviewed IS 'number of reviewed tickets';

CREATE VIEW analytics.verdicts AS
SELECT v.id AS verdict_id, v.ticket_id, t.source, t.external_id, t.lane, t.channel,
       t.language, v.reviewer, v.reviewed_at, v.label,
       coalesce(p.path, v.label) AS label_path, v.label IS NULL AS unclear, v.stratum, v.inclusion, v.model_version,
       v.model_label, v.digest = t.digest AS of_current_text, NOT EXISTS (
         SELECT FROM reviews later WHERE (later.ticket_id, later.digest) = (v.ticket_id, v.digest) AND later.id > v.id
       ) AS is_latest
FROM reviews v
JOIN tickets t ON t.id = v.ticket_id
LEFT JOIN label_paths p ON p.label = v.label
WHERE t.forgotten_at IS NULL AND t.source <> 'predict';

COMMENT ON VIEW analytics.verdicts IS 'Each reviewer''s answer, one row per review';
COMMENT ON COLUMN analytics.verdicts.verdict_id IS 'the verdict; later ones have higher ids';
COMMENT ON COLUMN analytics.verdicts.ticket_id IS 'the ticket';
COMMENT ON COLUMN analytics.verdicts.source IS 'the CRM';
COMMENT ON COLUMN analytics.verdicts.external_id IS 'the ticket''s id in the CRM';
COMMENT ON COLUMN analytics.verdicts.lane IS 'the ticket''s lane, as in `results`';
COMMENT ON COLUMN analytics.verdicts.channel IS 'by which channel the customer wrote, as in `results`';
COMMENT ON COLUMN analytics.verdicts.language IS 'the language, as in `results`';
COMMENT ON COLUMN analytics.verdicts.reviewer IS 'who answered';
COMMENT ON COLUMN analytics.verdicts.reviewed_at IS 'time of the answer';
COMMENT ON COLUMN analytics.verdicts.label IS 'the reviewer''s label; null if "unclear"';
COMMENT ON COLUMN analytics.verdicts.label_path IS 'the reviewer''s label after its parents';
COMMENT ON COLUMN analytics.verdicts.unclear IS 'whether the answer is "unclear"';
COMMENT ON COLUMN analytics.verdicts.stratum IS 'why a person was asked: `unsure` or `random` of the review page; `random`, `chosen` or `suspicious` of the start page; null if nobody asked';
COMMENT ON COLUMN analytics.verdicts.inclusion IS 'the probability with which a `random` text was drawn';
COMMENT ON COLUMN analytics.verdicts.model_version IS 'the version that had classified the text; the reviewer did not see its label';
COMMENT ON COLUMN analytics.verdicts.model_label IS 'the label that this version predicted; compare it with `label`';
COMMENT ON COLUMN analytics.verdicts.of_current_text IS 'whether it is for the ticket''s current text';
COMMENT ON COLUMN analytics.verdicts.is_latest IS 'whether it is the latest verdict for its text, which decides the effective label';

CREATE VIEW analytics.expected_accuracy AS
SELECT t.model_version, t.source, (t.received_at AT TIME ZONE 'UTC')::date AS day, count(*) AS tickets,
       avg(t.confidence) AS expected_accuracy, a.reviewed AS reviewed_accuracy, a.low AS reviewed_low,
       a.high AS reviewed_high, a.sampled AS sampled_reviews, a.diverged
FROM tickets t
LEFT JOIN accuracy_reports a ON a.model_version = t.model_version
  AND a.day = (t.received_at AT TIME ZONE 'UTC')::date
WHERE t.state = 'classified' AND t.band <> 'abstain' AND t.source <> 'predict'
GROUP BY 1, 2, 3, a.model_version, a.day;

COMMENT ON VIEW analytics.expected_accuracy IS 'The accuracy that each version expects of its current results, by CRM and day of receipt in UTC, with the reviews'' estimate of that day. Results in the band `abstain` do not count';
COMMENT ON COLUMN analytics.expected_accuracy.model_version IS 'the model version';
COMMENT ON COLUMN analytics.expected_accuracy.source IS 'the CRM';
COMMENT ON COLUMN analytics.expected_accuracy.day IS 'the day of receipt, in UTC';
COMMENT ON COLUMN analytics.expected_accuracy.tickets IS 'number of tickets';
COMMENT ON COLUMN analytics.expected_accuracy.expected_accuracy IS 'the mean confidence: the share of right labels, if the confidences are calibrated';
COMMENT ON COLUMN analytics.expected_accuracy.reviewed_accuracy IS 'the accuracy by the reviews, as estimated on that day for all CRMs and the 30 days before; null if there was no estimate';
COMMENT ON COLUMN analytics.expected_accuracy.reviewed_low IS 'the lower bound of its 95 % interval';
COMMENT ON COLUMN analytics.expected_accuracy.reviewed_high IS 'the upper bound of its 95 % interval';
COMMENT ON COLUMN analytics.expected_accuracy.sampled_reviews IS 'the number of reviews of randomly sampled texts in it; corrections in the CRM and imported labels do not count';
COMMENT ON COLUMN analytics.expected_accuracy.diverged IS 'whether the estimate contradicted the confidences on that day';

CREATE VIEW analytics.messages AS
SELECT m.ticket_id, t.source, t.external_id, m.message_id, m.author, m.written_at, m.edited_at, m.deleted_at
FROM messages m
JOIN tickets t ON t.id = m.ticket_id
WHERE t.forgotten_at IS NULL AND t.source <> 'predict';

COMMENT ON VIEW analytics.messages IS 'The messages of conversations, one row per message; a ticket that is one whole text has none';
COMMENT ON COLUMN analytics.messages.ticket_id IS 'the ticket';
COMMENT ON COLUMN analytics.messages.source IS 'the CRM';
COMMENT ON COLUMN analytics.messages.external_id IS 'the ticket''s id in the CRM';
COMMENT ON COLUMN analytics.messages.message_id IS 'the message''s id in the CRM; empty for the text of a ticket that came whole first';
COMMENT ON COLUMN analytics.messages.author IS 'who wrote it: `customer`, `agent` or `bot`; only a customer''s messages are classified';
COMMENT ON COLUMN analytics.messages.written_at IS 'when it was written, according to the CRM; orders the conversation';
COMMENT ON COLUMN analytics.messages.edited_at IS 'when its text was last changed; null if never';
COMMENT ON COLUMN analytics.messages.deleted_at IS 'when it was deleted in the CRM; null if it was not';
