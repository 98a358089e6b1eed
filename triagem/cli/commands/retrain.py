"""`triagem retrain`: requests a training on all labelled rows and the reviews."""

from typing import Annotated

import typer


def retrain(
    *,
    promote: Annotated[
        bool, typer.Option("--promote", help="Make the version current if it passes the gate; default: propose it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the job as JSON.")] = False,
) -> None:
    """Request a training on the rows of TRIAGEM_TRAINER_DATA and the agreed labels of reviews.

    `triagem trainer` runs it. A version that passes the gate is proposed: workers classify recent tickets with it,
    results stay, and a person compares (`triagem reclassify diff`) and promotes it. TRIAGEM_RETRAIN_AT does the same
    by schedule.

    Example: `triagem retrain`
    """
    from triagem.cli.commands.jobs import request_job
    from triagem.db.training_jobs import JobKind

    request_job(JobKind.FULL, {"promote": "auto" if promote else "propose"}, as_json=as_json)
