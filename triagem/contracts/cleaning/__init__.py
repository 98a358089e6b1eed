"""Rules that separate a customer's words from what mail programs add; the interface is `triagem.contracts.text`."""
