"""The console in this process, and a person at it."""

import re
from typing import Any

from starlette.testclient import TestClient

from triagem.db.keys import Scope, create
from triagem.gateway.app import create_app
from triagem.gateway.room import Room


class Person:
    """A browser that is logged in, without scripts."""

    def __init__(self, room: Room, *scopes: Scope, name: str = "ana") -> None:
        self.http = TestClient(create_app(room), headers={"Accept-Language": "en"})
        self.key, self.secret = create(room.database, name, scopes)
        self.entered = self.http.post("/console/login", data={"key": self.secret})

    def see(self, path: str, **query: Any) -> str:
        """A page's HTML."""
        answer = self.http.get(f"/console/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path: str, page: str, **fields: Any) -> str:
        """The page that follows a form: the hidden fields of the one on `page`, and what is pressed or filled in."""
        form = page[page.index(f'method="post" action="/console/{path}"') :]
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[: form.index("</form>")]))
        answer = self.http.post(f"/console/{path}", data=hidden | fields)
        assert answer.status_code == 200, answer.text
        return answer.text
