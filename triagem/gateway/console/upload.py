"""Reads a form with a file, and puts the file's rows into the inbox, as `triagem enqueue` does."""

import io
import re
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final

from triagem.contracts.errors import InboxFull, InvalidInput
from triagem.contracts.moments import MomentFormat, time_zone
from triagem.contracts.ticket import Lane
from triagem.gateway.console.upload_advice import browser_advice
from triagem.producer import Publisher
from triagem.producer.load import LoadSummary, load_records
from triagem.producer.survey import survey_file
from triagem.records.columns import describe_ignored
from triagem.records.text_file import read_bytes

_BOUNDARY: Final = re.compile(r'multipart/form-data; *boundary="?([^\s";]{1,70})"?')
_MAX_PARTS: Final = 20
_MAX_PART_HEAD: Final = 2048


@dataclass(frozen=True, slots=True)
class Upload:
    """The fields of a form, and the content and name of its file."""

    fields: dict[str, str]
    content: bytes
    name: str


def parse_upload(content_type: str, body: bytes) -> Upload:
    """Parse a form of the type multipart/form-data. Raises InvalidInput if it is not one."""
    boundary = _BOUNDARY.fullmatch(content_type)
    fields, content, name = dict[str, str](), b"", ""
    if boundary is None:
        raise InvalidInput("the form has no file")
    # The standard library's parser for whole messages reads line by line: it took seconds for 8 MiB.
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode(), _MAX_PARTS + 1)
    if not parts or not parts.pop().startswith(b"--"):
        raise InvalidInput(f"the form is incomplete, or has more than {_MAX_PARTS} parts")
    for part in parts:
        end = part.find(b"\r\n\r\n", 0, _MAX_PART_HEAD)
        if end < 0:
            raise InvalidInput("a part of the form has no end of its head")
        headers, value = BytesParser(policy=HTTP).parsebytes(part[:end].lstrip(), headersonly=True), part[end + 4 :]
        field = headers.get_param("name", header="content-disposition")
        if headers.get_filename() is not None:
            content, name = value, str(headers.get_filename())
        elif field is not None:
            fields[str(field)] = value.decode("utf-8", "replace")
    if not content:  # a browser sends an empty file without a name if none is chosen
        raise InvalidInput("the file is empty" if name else "the form has no file")
    return Upload(fields, content, name)


def enqueue_upload(
    upload: Upload, publisher: Publisher, source: str, timezone: str
) -> tuple[LoadSummary, tuple[str, ...]]:
    """Put the rows of a file into the bulk lane; also notes about the file. Raises InboxFull, or InvalidInput."""
    name, moments = upload.name or "the file", MomentFormat(time_zone(timezone))
    try:
        file = survey_file(read_bytes(io.BytesIO(upload.content), name), name=name, source=source, moments=moments)
    except InvalidInput as error:
        raise InvalidInput(browser_advice(str(error))) from None
    summary = load_records(file.read().records, file.survey.rules, publisher, lane=Lane.BULK, sleep=_refuse)
    summary.rejected = [replace(line, reason=browser_advice(line.reason)) for line in summary.rejected]
    ignored = describe_ignored(file.survey.ignored, ())
    return summary, (*((ignored,) if ignored else ()), *map(browser_advice, file.notes))


def _refuse(_: float) -> None:
    raise InboxFull("the bulk lane is full: wait until workers have drained it")
