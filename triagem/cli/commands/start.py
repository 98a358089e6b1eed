"""`triagem start`: shows the state of the labelling for a first model, with a link to the page that continues it."""

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode

import typer

from triagem import servers
from triagem.cli.options import AsJson
from triagem.cli.output import as_mapping, print_answer
from triagem.db import Database
from triagem.db.auth import Scope, begin_session, create_key, list_keys
from triagem.db.labels import list_labels
from triagem.db.reviews.labelling import LabellingState, labelling_state
from triagem.ops.labelling import answers_to_version

_OWNER: Final = "owner"


def start(
    *,
    link: Annotated[bool, typer.Option("--link", help="Print a link to the start page that logs in once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the labels, messages and answers so far, and where to continue.

    Example: `triagem start --link`
    """
    with servers.database() as database:
        state = labelling_state(database)
        labels = [label.label for label in list_labels(database) if not label.retired_at]
        page = login_link(database, gateway_address()) if link else f"{gateway_address()}/console/start"
    lines = [*describe(state, labels), f"continue at {page}"]
    print_answer({"labels": labels, **as_mapping(state), "page": page}, lines, as_json=as_json)


def gateway_address() -> str:
    """The gateway's URL."""
    from triagem.gateway.serve import url
    from triagem.gateway.services import GatewaySettings

    settings = GatewaySettings()
    return url(settings.host, settings.port)


def describe(state: LabellingState, labels: list[str]) -> list[str]:
    """The state of the labelling, line by line. Pure."""
    counts = ", ".join(f"{label} {state.answers.get(label, 0)}" for label in labels)
    lines = [f"labels: {counts or 'none'}", f"messages: {state.texts:,}"]
    if missing := answers_to_version(state.answers, 0):
        lines.append(f"{missing} more answers until the first version: ten for each of two labels")
    if progress := state.progress:
        lines.append(
            f"estimated macro-F1 after {progress.answers} answers: {progress.macro_f1:.2f},"
            f" 90 % interval {progress.low:.2f} to {progress.high:.2f}"
        )
        if progress.answers_missing:
            lines.append(f"about {progress.answers_missing} more answers reach 0.9")
    return lines


def login_link(database: Database, address: str) -> str:
    """A link to the start page that logs in once, with all permissions, as the key `owner`."""
    now = datetime.now(UTC)
    owner = next((key for key in list_keys(database) if key.name == _OWNER and key.is_active(now)), None)
    if owner is None:
        owner, _ = create_key(database, _OWNER, [Scope.ADMIN])  # its secret is not kept: only links use it
    return f"{address}/console/enter?{urlencode({'link': begin_session(database, owner)})}"
