"""Browser tests on a machine without a browser."""

import pytest

from tests.support.browser import chromium


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_chromium_they_are_skipped_or_fail_where_they_are_required(
    monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("REQUIRE_BROWSER", required)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception), match="no Chromium found") as caught:
        chromium()
    assert caught.type is outcome
