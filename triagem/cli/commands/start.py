"""`triagem start` shows how far the way to a first model is, and leads to the page that continues it."""

from typing import Annotated, Final

import typer

from triagem import servers
from triagem.cli.commands.access import login_link
from triagem.cli.commands.up import gateway_address
from triagem.cli.options import AsJson
from triagem.cli.output import as_mapping, print_answer
from triagem.db.labels import review_choices
from triagem.db.reviews.labelling import MIN_ESTIMATED_LABEL, LabellingState, labelling_state
from triagem.db.training_jobs import JobKind
from triagem.ops.labelling import VersionState, version_state


def start(
    *,
    link: Annotated[bool, typer.Option("--link", help="Print a link that logs in once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the labels, messages and answers so far, and where to continue.

    Example: `triagem start --link`
    """
    with servers.database() as database:
        state = labelling_state(database)
        registry = servers.registry()
        labels = review_choices(database, registry.current_labels())
        versions = version_state(database, registry, state.answers)
        address = servers.running_address() or gateway_address()
        page = login_link(database, address) if link else f"{address}/console/start"
    lines = [*describe(state, labels, versions), f"continue at {page}"]
    answer = {
        "labels": labels, **as_mapping(state), "version": versions.model and versions.model.version,
        "jobs": [job.kind for job in versions.jobs], "answers_to_version": versions.answers_missing, "page": page,
    }  # fmt: skip
    print_answer(answer, lines, as_json=as_json)


_RUNNING: Final = {
    JobKind.EMBED: "the next questions are being chosen",
    JobKind.HEAD: "a version is being trained",
    JobKind.FULL: "a full training is running",
    JobKind.PREFLIGHT: "an export is being rated",
}
_QUEUED: Final = {
    JobKind.EMBED: "the choice of the next questions is queued",
    JobKind.HEAD: "a version is queued for training",
    JobKind.FULL: "a full training is queued",
    JobKind.PREFLIGHT: "the rating of an export is queued",
}


def describe(state: LabellingState, labels: list[str], versions: VersionState) -> list[str]:
    """The state of the labelling, line by line, as on the page Start. Pure."""
    counts = ", ".join(f"{label} {state.answers.get(label, 0):,}" for label in labels)
    lines = [f"labels: {counts or 'none'}", f"messages: {state.texts:,}"]
    lines += [(_QUEUED if job.state == "queued" else _RUNNING)[job.kind] for job in versions.jobs]
    if (ended := versions.ended) and ended.state == "failed":
        lines.append(f"the last version could not be trained: {ended.error}")
    if rejected := versions.rejected:
        reasons = f": {'; '.join(rejected.error.splitlines())}" if rejected.error else ""
        lines += [
            f"{rejected.version} is not in use, the gate rejected it{reasons}",
            "continue to answer: each new version is tested on more answers",
        ]
    if missing := versions.answers_missing:
        version = "first version: ten for each of two labels" if versions.first else "next version"
        lines.append(f"{missing:,} more answers until the {version}")
    if progress := state.progress:
        lines.append(
            f"a version from {progress.answers:,} answers has an estimated macro-F1 of {progress.macro_f1:.2f} on all"
            f" messages, 90% interval {progress.low:.2f} to {progress.high:.2f}"
        )
        if progress.answers_missing:
            lines.append(f"about {progress.answers_missing:,} more answers reach 0.9")
        if few := state.left_out(labels):
            lines.append(f"not in the estimate, with fewer than {MIN_ESTIMATED_LABEL} answers: {', '.join(few)}")
    elif state.enough:
        lines.append("the quality is estimated with the next version or choice of questions")
    if model := versions.model:
        lines.append(f"{model.version} is in use")
        if not model.thresholds.automate:
            lines.append("a person reviews all its results until the answers prove its precision")
        if progress and progress.proof_missing:
            missing = progress.proof_missing
            lines.append(f"about {missing:,} more answers may prove the precision; only the random ones count")
    return lines
