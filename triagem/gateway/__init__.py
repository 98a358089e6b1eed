"""The front door over HTTP: tickets in, results out. It never imports torch.

Importing this package costs nothing; FastAPI is loaded with `triagem.gateway.app`.
"""
