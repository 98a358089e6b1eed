"""The console's texts about errors in English and Brazilian Portuguese, and which error has which."""

from typing import Final

from triagem.contracts.errors import (
    AccessDenied,
    DatabaseUnavailable,
    GroupMissing,
    InboxFull,
    InboxUnavailable,
    NoModel,
    NotMigrated,
    RegistryUnavailable,
    TriagemError,
)

_KEYS: Final[dict[type[TriagemError], str]] = {
    InboxFull: "error_full",
    GroupMissing: "no_workers",
    InboxUnavailable: "error_redis",
    DatabaseUnavailable: "error_postgres",
    RegistryUnavailable: "error_registry",
    NoModel: "error_no_model",
    NotMigrated: "error_tables",
    AccessDenied: "error_access",
}


def error_message_key(error: TriagemError) -> str | None:
    """The message that says what the error means and what to do; None if it has no message of its own."""
    return next((key for kind, key in _KEYS.items() if isinstance(error, kind)), None)


_RESTART: Final = (
    "No data was lost. Start it, or restart it if it hangs. “triagem status” shows all that does not answer.",
    "Nenhum dado foi perdido. Inicie-o, ou reinicie-o se travou. “triagem status” mostra tudo o que não responde.",
)
ERROR_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "error": ("Something went wrong", "Algo deu errado"),
    "error_403": (
        "Your key does not allow this. To use another key, log out and in again.",
        "Sua chave não permite esta ação. Para usar outra chave, saia e entre de novo.",
    ),
    "error_404": ("Page not found.", "Página não encontrada."),
    "error_404_ticket": (
        "Ticket not found: there is none with this source and id, or it was deleted.",
        "Ticket não encontrado: não há nenhum com esta origem e este ID, ou ele foi excluído.",
    ),
    "error_404_version": ("Version not found.", "Versão não encontrada."),
    "error_404_report": ("This version has no report.", "Esta versão não tem relatório."),
    "error_405": (
        "This address does not take this kind of request.",
        "Este endereço não aceita este tipo de envio.",
    ),
    "error_405_get": ("This address only takes forms.", "Este endereço só recebe formulários."),
    "error_413": ("The file or form is too large.", "O arquivo ou formulário é grande demais."),
    "error_422": (
        "The input cannot be used. Nothing was changed.",
        "Os dados enviados não podem ser usados. Nada foi alterado.",
    ),
    "error_422_get": (
        "The address has a value that cannot be used.",
        "O endereço tem um valor que não pode ser usado.",
    ),
    "parameter": ("The address's parameter {name}", "Parâmetro {name} do endereço"),
    "error_429": (
        "Too many requests. Try again in a minute.",
        "Requisições demais. Tente de novo em um minuto.",
    ),
    "error_500": (
        "Internal error: the gateway's log has the reason.",
        "Erro interno: o log do gateway indica o motivo.",
    ),
    "error_503": (
        "A service is unavailable. No data was lost. Try again in a moment.",
        "Um serviço está indisponível. Nenhum dado foi perdido. Tente de novo em instantes.",
    ),
    "error_redis": (
        f"Redis does not answer. {_RESTART[0]}",
        f"O Redis não responde. {_RESTART[1]}",
    ),
    "error_postgres": (
        f"Postgres does not answer. {_RESTART[0]}",
        f"O Postgres não responde. {_RESTART[1]}",
    ),
    "error_registry": (
        "The model registry does not answer. Workers keep their model. Check TRIAGEM_REGISTRY_URL.",
        "O registro de modelos não responde. Os workers mantêm o modelo atual. Verifique TRIAGEM_REGISTRY_URL.",
    ),
    "error_no_model": (
        "There is no such model, or its files were deleted.",
        "Este modelo não existe, ou seus arquivos foram excluídos.",
    ),
    "error_tables": (
        "The database does not match this release. Run “triagem db upgrade”.",
        "O banco de dados não corresponde a esta versão. Execute “triagem db upgrade”.",
    ),
    "error_access": (
        "A server refuses the gateway's password. The gateway's log names the setting.",
        "Um servidor recusa a senha do gateway. O log do gateway indica a configuração.",
    ),
    "error_full": (
        "The queue is full: wait until workers have processed a part of it. If they are paused, resume them.",
        "A fila está cheia: aguarde até que os workers processem uma parte dela. Se estiverem pausados, retome-os.",
    ),
    "form_expired": (
        "This form belongs to another session. Go back, reload the page and try again.",
        "Este formulário é de outra sessão. Volte, recarregue a página e tente de novo.",
    ),
    "gateway_lost": (
        "The gateway does not answer. Check that “triagem up” or “triagem gateway” runs.",
        "O gateway não responde. Verifique se “triagem up” ou “triagem gateway” está em execução.",
    ),
    "try_again": ("Try again", "Tentar de novo"),
    "to_console": ("Back to the console", "Voltar ao console"),
}
