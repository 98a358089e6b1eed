"""Checks a webhook's signature or token, and finds the form of a signature that the CRM file does not describe."""

from contextlib import suppress
from datetime import datetime
from itertools import product
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.producer.crm.payload import RefusedWebhook, Webhook
from triagem.producer.crm.receive import check_sender
from triagem.producer.crm.settings import Source
from triagem.producer.crm.signature import FORMATS, TOKEN_HEADER, SignatureScheme, check_signature, signed_at

_SIGNED: Final = ("{body}", "{timestamp}{body}", "{timestamp}.{body}", "{timestamp}:{body}")
_UNKNOWN: Final = (
    "No known form of signature fits this secret and this body: compare the secret, and save the body unchanged."
)


def check_proof(webhook: Webhook, source: Source, now: datetime) -> tuple[str, list[str]]:
    """Whether the sender's proof is valid, in words; and advice if it is not."""
    if source.secret is not None and source.signature is not None:
        return _check_signature(webhook, source, source.signature, source.secret.get_secret_value(), now)
    if not (webhook.header(TOKEN_HEADER) or webhook.header("Authorization") or webhook.token):
        return f"not checked: give the token with --header '{TOKEN_HEADER}: …'", []
    if refusal := check_sender(webhook, source, now):
        return refusal.reason, ["Compare the token in the CRM with the file."]
    return "the token is right", []


def _check_signature(
    webhook: Webhook, source: Source, scheme: SignatureScheme, secret: str, now: datetime
) -> tuple[str, list[str]]:
    if missing := [name for name in scheme.headers if webhook.header(name) is None]:
        if form := _find_scheme(webhook, scheme, secret):
            return f"the CRM does not send {' and '.join(missing)}", [form]
        given = " ".join(f"--header '{name}: …'" for name in missing)
        return f"not checked: give the headers that the CRM sends: {given}", []
    try:
        sent_at = signed_at(webhook, scheme) or now  # a recorded webhook may be old
    except InvalidTicket as error:
        return str(error), [f"{scheme.time_field} must hold a time."]
    match check_sender(webhook, source, sent_at):
        case RefusedWebhook(reason):
            return reason, [_find_scheme(webhook, scheme, secret) or _UNKNOWN]
    return "the signature is right", []


def _find_scheme(webhook: Webhook, scheme: SignatureScheme, secret: str) -> str | None:
    """Advice with the scheme by which one of the headers is a valid signature, if any is."""
    for name, header in product(FORMATS, webhook.headers):
        known = SignatureScheme.model_validate({"format": name, "header": header})
        if _is_valid(webhook, known, secret):
            own = "" if header.lower() == FORMATS[name]["header"].lower() else f', header = "{header}"'
            return f'This signature has another form. In the table `signature` set format = "{name}"{own}.'
    for signed, algorithm, encoding, header, time in product(
        (scheme.signed, *_SIGNED), ("sha1", "sha256", "sha512"), ("hex", "base64"), webhook.headers, webhook.headers
    ):
        form = {"header": header, "signed": signed, "algorithm": algorithm, "encoding": encoding, "prefix": ""}
        given, moment = webhook.headers[header], webhook.headers[time].encode("latin-1", "replace")
        digest = scheme.model_copy(update=form).sign(webhook.body, moment, secret.encode())
        if given.endswith(digest):
            form["prefix"] = given.removesuffix(digest)
            form |= {"timestamp_header": time} if "{timestamp}" in signed else {}
            present = {name: str(getattr(scheme, name)) for name in form}
            wrong = [
                f'{name} = "{value}"'
                for name, value in form.items()
                if value != present[name] and not (name.endswith("header") and value.lower() == present[name].lower())
            ]
            return f"This signature has another form. In the table `signature` set {', '.join(wrong)}."
    return None


def _is_valid(webhook: Webhook, scheme: SignatureScheme, secret: str) -> bool:
    """Whether the webhook has a valid signature, however old it is."""
    with suppress(InvalidTicket, ValueError):  # no time, or the secret is not base64
        sent_at = signed_at(webhook, scheme)
        return sent_at is not None and check_signature(webhook, scheme, secret, sent_at) is None
    return False
