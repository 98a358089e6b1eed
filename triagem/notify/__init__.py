"""Everything outbound: results for CRMs, alert rules and messages, and how requests and e-mails are sent."""
