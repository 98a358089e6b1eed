"""Sends messages through Apprise, which knows the APIs of about 140 services. From the extra `apprise`.

Apprise makes its own connections, which `allowed_hosts` does not limit. Apprise does not report why a message was
refused, so each failure is retried.
"""

from typing import Any

from triagem.notify.request import Delivered, Retry, SendResult


def check_apprise_url(url: str) -> str | None:
    """Check a URL: None if Apprise can send to it, else the problem, without the URL."""
    try:
        channel = _channel(url)
    except ModuleNotFoundError:
        return "needs Apprise: pip install 'triagem[apprise]'"
    return (
        None if len(channel) == 1 else "is not a URL that Apprise knows: see https://github.com/caronc/apprise/wiki"
    )


def send_by_apprise(url: str, title: str, body: str) -> SendResult:
    """Send a message once. Raises nothing."""
    try:
        delivered = _channel(url).notify(title=title, body=body)
    except Exception as error:  # noqa: BLE001 - a plugin of any service
        return Retry(f"Apprise failed ({type(error).__name__})")
    return Delivered() if delivered else Retry("Apprise could not deliver it")


def _channel(url: str) -> Any:
    import apprise  # noqa: PLC0415 - optional, and slow to import

    # Apprise gets no configuration file and no attachment: a message is plain text.
    channel = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Triagem"))
    channel.add(url)
    return channel
