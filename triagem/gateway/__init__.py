"""The HTTP API and the console. Never imports torch.

Importing this package is cheap: `triagem.gateway.app` loads FastAPI.
"""
