"""The console in a browser without scripts, also with a gateway in this process."""

import re
from typing import Any

import httpx2
from starlette.testclient import TestClient

from triagem.db.auth import Scope, create_key
from triagem.gateway.app import create_app
from triagem.gateway.services import Services


class Browser:
    """A browser without scripts. `http` is a client that follows redirects and keeps cookies."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http

    def see(self, path: str, **query: Any) -> str:
        """A page's HTML."""
        response = self.http.get(f"/console/{path}", params=query or None)
        assert response.status_code == 200, response.text
        return response.text

    def send(self, path: str, page: str, **fields: Any) -> str:
        """Submit the form on `page` with its hidden fields and these fields; returns the page that follows."""
        form = page[page.index(f'method="post" action="/console/{path}"') :]
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[: form.index("</form>")]))
        response = self.http.post(f"/console/{path}", data=hidden | fields)
        assert response.status_code == 200, response.text
        return response.text


class Person(Browser):
    """A logged-in browser without scripts, with a gateway in this process."""

    http: TestClient

    def __init__(self, services: Services, *scopes: Scope, name: str = "ana") -> None:
        super().__init__(TestClient(create_app(services), headers={"Accept-Language": "en"}))
        self.key, self.secret = create_key(services.database, name, scopes)
        self.login_response = self.http.post("/console/login", data={"key": self.secret})
