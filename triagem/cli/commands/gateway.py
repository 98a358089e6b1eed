"""`triagem gateway`: the HTTP front door, one process."""

from typing import Annotated, Any

import typer

from triagem.cli import servers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(gateway)


def gateway(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on; default TRIAGEM_GATEWAY_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port; default TRIAGEM_GATEWAY_PORT, 8000.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 0 if a gateway answers at this address.")] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Take tickets and CRMs' webhooks over HTTP; until SIGTERM, which finishes what is on its way.

    Example: `TRIAGEM_REDIS_URL=redis://… TRIAGEM_DATABASE_URL=postgresql://… triagem gateway --host 0.0.0.0`
    """
    from triagem.gateway.settings import GatewaySettings, MetricsSettings

    given: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = GatewaySettings(**given)
    if check:
        if wrong := _silence(settings.host, settings.port):
            typer.echo(wrong, err=True)
            raise typer.Exit(1)
        return
    if with_parent:
        from triagem.cli.parents import end_with_parent

        end_with_parent()
    from triagem.gateway.room import Room
    from triagem.gateway.serve import serve
    from triagem.producer.crm import Crm, CrmSettings, load
    from triagem.registry import Registry, RegistrySettings

    file = CrmSettings().crm_file
    crm = load(file) if file else Crm({})
    with servers.database() as database:
        registry = Registry(RegistrySettings().registry_url)
        serve(Room(servers.inbox(), database, registry, settings, crm), MetricsSettings())


def _silence(host: str, port: int) -> str | None:
    """What is wrong with the gateway there, or None. Any answer is one."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/health/live")  # asks no store, and is not among the requests that failed
        connection.getresponse()
    except (OSError, HTTPException) as error:
        return f"no gateway answers on {host}, port {port} ({type(error).__name__})"
    finally:
        connection.close()
    return None
