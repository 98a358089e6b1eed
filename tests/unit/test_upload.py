"""Forms with a file, as browsers send them. A broken form is refused without being read line by line."""

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.gateway.console.upload import parse_upload

TYPE = "multipart/form-data; boundary=----x"
PART = b'------x\r\nContent-Disposition: form-data; name="token"\r\n\r\nabc\r\n'
FILE = (
    '------x\r\nContent-Disposition: form-data; name="file"; filename="exporta\u00e7\u00e3o.csv"\r\n'
    "Content-Type: text/csv\r\n\r\n"
).encode()


def test_fields_and_the_file_are_read_byte_for_byte() -> None:
    content = b"id,text\r\n\r\n--y\n1,\xff\0\r\n"

    upload = parse_upload(TYPE, PART + FILE + content + b"\r\n------x--\r\n")

    assert upload.fields == {"token": "abc"}
    assert upload.content == content
    assert upload.name.endswith(".csv")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", PART),
        ("multipart/form-data", PART),
        ("multipart/form-data; boundary=" + "x" * 1000, PART),
        (TYPE, b""),
        (TYPE, PART + FILE),
        (TYPE, PART + FILE.replace("exportação.csv".encode(), b"") + b"\r\n------x--\r\n"),
        (TYPE, PART * 21 + b"------x--"),
        (TYPE, b"------x\r\n" + b"A: b\r\n" * 1000 + b"------x--"),
    ],
    ids=["another type", "no boundary", "long boundary", "empty", "no end", "no file", "many parts", "endless head"],
)
def test_another_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_upload(content_type, body)
