"""`triagem gateway`: runs one process of the HTTP API."""

from typing import Annotated, Any

import typer

from triagem import servers


def gateway(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: TRIAGEM_GATEWAY_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: TRIAGEM_GATEWAY_PORT, 8000.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 0 if a gateway answers at this address.")] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Serve the HTTP API, CRM webhooks and the console until SIGTERM, which finishes requests in progress first.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem gateway --host 0.0.0.0`
    """
    from triagem.gateway.services import GatewaySettings
    from triagem.process import MetricsSettings

    overrides: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = GatewaySettings(**overrides)
    if check:
        if problem := _probe(settings.host, settings.port):
            typer.echo(problem, err=True)
            raise typer.Exit(1)
        return
    if with_parent:
        from triagem.cli.processes import end_with_parent

        end_with_parent()
    from triagem.gateway.serve import serve
    from triagem.gateway.services import Services
    from triagem.producer.crm import CrmFile
    from triagem.registry import Registry, RegistrySettings

    crm_file = CrmFile.from_environment()
    with servers.database() as database:
        registry = Registry(RegistrySettings().registry_url)
        serve(Services(servers.inbox(), database, registry, settings, crm_file), MetricsSettings())


def _probe(host: str, port: int) -> str | None:
    """None if the gateway at this address answers, with any status; else the problem."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/health/live")  # queries no store, and is not counted among failed requests
        connection.getresponse()
    except (OSError, HTTPException) as error:
        return f"no gateway answers at {host}, port {port} ({type(error).__name__})"
    finally:
        connection.close()
    return None
