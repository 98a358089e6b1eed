"""Active learning from no labels: chooses texts for a person to label, trains a head version, estimates its quality.

`pool` is the state that all functions take. Only `embeddings` and `version` load torch.
"""
