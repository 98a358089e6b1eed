"""The file TRIAGEM_ALERTS_FILE: its allowed content. A mistake is reported in one line without a secret."""

from pathlib import Path

import pytest

from triagem.contracts.errors import InvalidInput
from triagem.notify.alert_rules import AlertRules, AlertsFile, EmailChannel, SlackChannel, WebhookChannel, load

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK = '[channels.team]\ntype = "slack"\nurl = "https://hooks.slack.com/services/T0/B0/secret-path"\n'
MAIL = '[channels.mail]\ntype = "email"\nhost = "smtp.example.com"\nfrom = "t@example.com"\nto = ["a@example.com"]\n'
HOSTS = 'allowed_hosts = ["hooks.slack.com"]\n'
RULE = '[rules.doubtful]\nchannels = ["team"]\n'


def load_content(folder: Path, content: str) -> AlertRules:
    file = folder / "alerts.toml"
    file.write_text(content, encoding="utf-8")
    return load(file)


def test_a_rule_and_its_channels_with_secrets_in_files(tmp_path: Path) -> None:
    for name, secret in {"slack": "https://hooks.slack.com/services/x", "key": KEY, "mail": "mail-password"}.items():
        (tmp_path / name).write_text(secret + "\n")
    rules = load_content(
        tmp_path,
        f"""
        allowed_hosts = ["hooks.slack.com", "hooks.example.com"]
        language = "pt-BR"
        [channels.team]
        type = "slack"
        url_file = "slack"
        [channels.bus]
        type = "webhook"
        url = "https://hooks.example.com/triagem"
        secret_file = "key"
        language = "en"
        {MAIL}
        user = "triagem"
        password_file = "mail"
        [rules.doubtful]
        channels = ["team", "bus", "mail"]
        labels = ["suporte"]
        sources = ["zendesk"]
        bands = ["review"]
        under = 0.6
        every_s = 60
        [rules.system]
        channels = ["mail"]
        kinds = ["drift"]
        language = "en"
        """,
    )
    assert {name: target.language for name, target in rules.targets.items()} == {
        "doubtful.team": "pt-BR", "doubtful.bus": "en", "doubtful.mail": "pt-BR", "system.mail": "en",
    }  # fmt: skip
    slack, bus, mail = (rules.targets[f"doubtful.{name}"].channel for name in ("team", "bus", "mail"))
    assert isinstance(slack, SlackChannel)
    assert slack.url.get_secret_value() == "https://hooks.slack.com/services/x"
    assert isinstance(bus, WebhookChannel)
    assert isinstance(mail, EmailChannel)
    assert mail.password is not None
    assert (mail.password.get_secret_value(), mail.port, mail.security) == ("mail-password", 587, "starttls")
    assert rules.subscriptions[0] == {
        "target": "doubtful.team", "every_s": 60, "kinds": ["low-confidence"], "labels": ["suporte"],
        "sources": ["zendesk"], "bands": ["review"], "under": 0.6,
    }  # fmt: skip
    assert rules.subscriptions[3] == {
        "target": "system.mail", "every_s": 300, "kinds": ["drift"], "labels": None, "sources": None, "bands": None,
        "under": None,
    }  # fmt: skip


def test_while_the_file_is_invalid_its_last_valid_content_stays_in_use(tmp_path: Path) -> None:
    load_content(tmp_path, HOSTS + SLACK + RULE)
    file = AlertsFile(tmp_path / "alerts.toml", every_s=0)

    (tmp_path / "alerts.toml").write_text(HOSTS + SLACK + RULE.replace("team", "tem"))
    assert list(file.read().targets) == ["doubtful.team"]
    assert file.problem == f"{tmp_path}/alerts.toml [rules.doubtful] channels: there is no [channels.tem]"

    (tmp_path / "alerts.toml").write_text("")
    assert list(file.read().targets) == []
    assert file.problem is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rules = 3", "rules: must be an object with named fields"),
        ("[rules", "is not valid TOML"),
        (HOSTS + SLACK + '[rules.a]\nchannels = ["nobody"]', "[rules.a] channels: there is no [channels.nobody]"),
        (HOSTS + SLACK + "[rules.a]\nchannels = []", "[rules.a] channels: is empty"),
        (HOSTS + SLACK + RULE + "under = 70", "[rules.doubtful] under: must be at most 1"),
        (HOSTS + SLACK + RULE + 'bands = ["unsure"]', "[rules.doubtful] bands.0: must be one of automate"),
        (
            HOSTS + SLACK + RULE + 'kinds = ["drfit"]',
            "[rules.doubtful] kinds: 'drfit' is not one of calibration, drift, ",
        ),
        (HOSTS + SLACK + RULE + "every = 60", "[rules.doubtful] every: is not a known field: did you mean every_s?"),
        (HOSTS + SLACK + RULE + 'language = "pt"', "[rules.doubtful] language: must be one of en or pt-BR"),
        (SLACK + RULE, "[channels.team] url: the host is not in allowed_hosts"),
        (HOSTS + SLACK.replace("https", "http") + RULE, "[channels.team] url: expected https"),
        (HOSTS + SLACK + 'url_file = "x"', "[channels.team] url_file: give url or url_file, not both"),
        ('[channels.a]\ntype = "slack"\nurl_file = "x"', "/x (No such file or directory)"),
        ('[channels.a]\ntype = "pager"', "channels.a: type must be one of slack, webhook, email, apprise"),
        ('[channels.a]\nkind = "slack"', "channels.a: type is missing"),
        (
            '[channels.a]\ntype = "webhook"\nurl = "https://x.com"\nsecret = "short"',
            "[channels.a] secret: is not a base64 key of at least 24 bytes",
        ),
        ("[channels]\na = 3", "channels.a: "),
        (MAIL + 'language = "pt"', "[channels.mail] language: must be one of en or pt-BR"),
        (MAIL + 'usr = "triagem"', "[channels.mail] usr: is not a known field: did you mean user?"),
        (HOSTS + SLACK + RULE.replace("doubtful", '"Regra Á"'), "[rules.Regra Á] name: must match the pattern"),
        (HOSTS + SLACK + RULE.replace("doubtful", "24h") + "under = 70", "[rules.24h] under: must be at most 1"),
        ('[channels."a b"]\ntype = "slack"\nurl = "x"', "[channels.a b] name: must match the pattern"),
        ('langage = "en"', "langage: is not a known field: did you mean language?"),
        (MAIL + 'user = "triagem"', "[channels.mail] user: set both user and password, or neither"),
        (MAIL + 'security = "none"', "none is only for a server on this machine"),
        (MAIL.replace('"t@', '"Triagem <t@'), "[channels.mail] from: must match the pattern ^[!-~]+@"),
        (MAIL.replace('"a@example.com"', '"a@example.com\\nBcc: x@example.com"'), "[channels.mail] to.0: "),
    ],
)
def test_a_mistake_is_named_in_one_line(content: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_content(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'alerts.toml'} ")
    assert expected in message
    assert "\n" not in message
    assert "secret-path" not in message
