"""The console in this process, with a logged-in person."""

import re
from typing import Any

from starlette.testclient import TestClient

from triagem.db.auth import Scope, create_key
from triagem.gateway.app import create_app
from triagem.gateway.services import Services


class Person:
    """A logged-in browser without scripts."""

    def __init__(self, services: Services, *scopes: Scope, name: str = "ana") -> None:
        self.http = TestClient(create_app(services), headers={"Accept-Language": "en"})
        self.key, self.secret = create_key(services.database, name, scopes)
        self.login_response = self.http.post("/console/login", data={"key": self.secret})

    def see(self, path: str, **query: Any) -> str:
        """A page's HTML."""
        response = self.http.get(f"/console/{path}", params=query)
        assert response.status_code == 200, response.text
        return response.text

    def send(self, path: str, page: str, **fields: Any) -> str:
        """Submit the form on `page` with its hidden fields and these fields; returns the page that follows."""
        form = page[page.index(f'method="post" action="/console/{path}"') :]
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[: form.index("</form>")]))
        response = self.http.post(f"/console/{path}", data=hidden | fields)
        assert response.status_code == 200, response.text
        return response.text
