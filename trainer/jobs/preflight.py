"""A job that rates a file uploaded in the console, as `triagem preflight` does, and deletes the file."""

from dataclasses import asdict
from pathlib import PurePath
from typing import Final

from pydantic import BaseModel

from triagem.contracts.errors import InvalidInput, Retryable
from triagem.db.uploads import delete_upload, find_upload, finish_upload
from triagem.trainer.active.export import rate_export
from triagem.trainer.jobs.run import JobRun

_EXCERPT_CHARS: Final = 80


class PreflightParameters(BaseModel):
    """The uploaded file, and how to read it."""

    upload: int
    label_column: str = ""
    label_map: str = ""
    by: str = ""


def rate_upload(run: JobRun) -> None:
    """Store the figures in place of the file. If the job fails, the file is deleted too."""
    parameters = PreflightParameters.model_validate(run.job.parameters)
    upload = find_upload(run.database, parameters.upload)
    if upload is None or upload.content is None:
        raise InvalidInput("the file was deleted: upload it again")
    run.report("evaluate")
    name = PurePath(upload.name)
    export = run.folder / f"export{name.suffix}"
    try:
        export.write_bytes(upload.content)
        figures = asdict(rate_export(export, run.registry, **parameters.model_dump(exclude={"upload"})))
    except Retryable:
        raise
    except Exception as error:
        delete_upload(run.database, parameters.upload)
        if isinstance(error, InvalidInput):
            raise InvalidInput(str(error).replace(str(export), name.name)) from None
        raise
    finally:
        export.unlink(missing_ok=True)
    for mistake in figures.get("mistakes", ()):
        mistake["where"] = mistake["where"].replace(str(export), name.name)
        mistake["text"] = " ".join(mistake["text"].split())[:_EXCERPT_CHARS]
    finish_upload(run.database, parameters.upload, figures)
