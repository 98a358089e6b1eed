"""Rules that separate a customer's own words from what mail programs add. `triagem.contracts.text` is the interface."""
