"""Opens a file as text: detects its encoding, and lets it be read more than once."""

import codecs
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from triagem.contracts.errors import InvalidInput
from triagem.records.parquet_file import MAGIC, ParquetFile

_CHUNK: Final = 1 << 20
_SAMPLE_BYTES: Final = 1 << 18
# The single-byte encodings of Western European exports: Windows, old versions of Excel for Mac, and DOS. The encoding
# that gives the most of these characters and the fewest signs of another one is chosen; Portuguese characters count
# twice. Of 1,076 files with one to ten texts of examples/, this misreads 18, none in cp1252. charset-normalizer
# 3.5.3, limited to these encodings by `cp_isolation`, misreads 78.
_LEGACY: Final = ("cp1252", "mac_roman", "cp850")
_USUAL: Final = 2 * "áàâãéêíóôõúüçñÁÀÂÃÉÊÍÓÔÕÚÜÇÑ“”‘’–—…€ºª°" + "äëïöåæøœßèìòùîûÄËÏÖÅÆØŒÈÌÒÙÎÛ¿¡"  # noqa: RUF001
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_NOT_UTF_8: Final = re.compile(r"[\udc80-\udcff]")
_CONTROL: Final = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_RUN: Final = re.compile(r"[^\x00-\x7f]{3,}")
# Signs of another encoding: ý þ ð are Turkish, õ without e is Hungarian; a sign or a capital letter inside a word.
_MISREAD: Final = re.compile(
    rf"[ðþýšžÐÞÝŠŽ]|õ(?!e)|Õ(?!E)|(?<=[^\W\d_])[^\x00-\xa0´·•«»{_USUAL}](?=[^\W\d_])|(?<=[a-z])[À-ÖØ-Þ]"  # noqa: RUF001
)
_UNICODE: Final = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_STRUCTURE: Final = frozenset('\r\n;,\t|{":')
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_MARKUP: Final = "HTML or XML: open it in a spreadsheet and save it as CSV"
_NOT_TEXT: Final = (  # compared with the lower-cased start
    (b"pk\x03\x04", "an Excel workbook or a ZIP archive: save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save it as CSV"),
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"%pdf", "a PDF, not a table: export the table as CSV"),
    (b"<?xml", _MARKUP),
    (b"<!doctype", _MARKUP),
    (b"<html", _MARKUP),
)


class TextFile:
    """A file of text with a known encoding. Each call of `lines` reads it from the start.

    Bytes that the encoding does not have become lone surrogates, which the readers report by line.
    """

    def __init__(self, raw: IO[bytes], encoding: str | None = None) -> None:
        """Detect the encoding of seekable bytes, unless it is given. Raises InvalidInput for an unknown encoding."""
        self._raw = raw
        self.encoding = _known(encoding) if encoding else detect_encoding(raw)

    def lines(self) -> Iterator[str]:
        """The lines from the start, with their line ends."""
        self._raw.seek(0)
        text = io.TextIOWrapper(self._raw, encoding=self.encoding, errors="surrogateescape", newline="")
        try:
            yield from text
        except UnicodeError:  # UTF-16 and UTF-32 have no place for single bytes
            raise InvalidInput(f"the file is not valid {self.encoding.upper()}: save it as UTF-8") from None
        finally:
            if not self._raw.closed:
                text.detach()

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def open_text(path: str, *, encoding: str | None = None) -> TextFile | ParquetFile:
    """Open a file of text or Parquet, or standard input for `-`. A pipe is copied to a temporary file first.

    Raises:
        InvalidInput: it does not exist, is a directory or cannot be read, or the encoding is unknown.
    """
    try:
        raw: IO[bytes] = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115
        if not raw.seekable() or path == "-":
            pipe, raw = raw, tempfile.TemporaryFile()  # noqa: SIM115 - closed by TextFile
            shutil.copyfileobj(pipe, raw)
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a directory, expected a JSONL, CSV or Parquet file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    try:
        return read_bytes(raw, path, encoding)
    except InvalidInput:
        raw.close()
        raise


def read_bytes(raw: IO[bytes], name: str, encoding: str | None = None) -> TextFile | ParquetFile:
    """A file of text or Parquet from seekable bytes. Raises InvalidInput for another kind of file or encoding."""
    raw.seek(0)
    start = raw.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
    if reason := next((reason for magic, reason in _NOT_TEXT if start.lower().startswith(magic)), None):
        raise InvalidInput(f"{name} is {reason}")
    return ParquetFile(raw) if start.startswith(MAGIC) else TextFile(raw, encoding)


def detect_encoding(raw: IO[bytes]) -> str:
    """UTF-8, UTF-16 or UTF-32, with or without a byte order mark, or the likeliest single-byte encoding.

    A file that is UTF-8 except for some lines counts as UTF-8: its readers report these lines. Raises InvalidInput if
    it is in none of these: words that consist mostly of other letters are Cyrillic, Greek or Asian, and their
    encodings look alike. So is a file in which one special letter of eight is rare in Western Europe, and a binary
    file, which has NUL and other control characters.
    """
    raw.seek(0)
    head = raw.read(_SAMPLE_BYTES)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\0" in head and (wide := next((name for name in _UNICODE if _fits(head, name)), None)):
        return wide
    valid, invalid, sample = _utf_8_letters(raw)
    if invalid <= valid:
        return "utf-8"
    if b"\0" in head and _CONTROL.search(head):
        raise InvalidInput("the file is not text: export the table as CSV")
    likeliest = max(_LEGACY, key=lambda name: _likelihood(sample.decode(name, errors="replace")))
    text = sample.decode(likeliest, errors="replace")
    foreign = sum(len(run) for run in _RUN.findall(text) if len(set(run)) > 2 and any(map(str.isalpha, run)))
    if max(2 * foreign, 8 * len(_MISREAD.findall(text))) > len(_NOT_ASCII.findall(text)):
        raise InvalidInput(
            "the encoding cannot be detected: name it with --encoding, such as cp1250, cp1251, cp1254 or shift_jis, "
            "or save the file as UTF-8"
        )
    return likeliest


def _likelihood(text: str) -> int:
    return sum(map(_USUAL.count, text)) - 2 * len(_MISREAD.findall(text))


def _utf_8_letters(raw: IO[bytes]) -> tuple[int, int, bytes]:
    """The number of non-ASCII UTF-8 characters, the number of bytes that are not UTF-8, and sample lines with
    them."""
    valid, invalid, sample = 0, 0, b""
    raw.seek(0)
    for lines in iter(lambda: raw.readlines(_CHUNK), []):
        block = b"".join(lines)
        if block.isascii():
            continue
        text = block.decode(errors="surrogateescape")
        bad = len(_NOT_UTF_8.findall(text))
        invalid += bad
        valid += len(_NOT_ASCII.findall(text)) - bad
        if bad and len(sample) < _SAMPLE_BYTES:
            sample += b"".join(line for line in lines if not line.isascii())[:_SAMPLE_BYTES]
    return valid, invalid, sample


def _fits(head: bytes, encoding: str) -> bool:
    """Whether the start of a file is text in this encoding: without NUL, and with separators, quotes or line ends."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return "\0" not in text and len(_STRUCTURE.intersection(text)) >= 2


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise InvalidInput(f"{encoding!r} is not an encoding; usual ones are utf-8, utf-16, cp1252") from None
    return "utf-8-sig" if name == "utf-8" else name
