"""Text cleaning of forwarded mail and signatures: the customer's own words stay."""

import pytest

from triagem.contracts.text import clean

DISCLAIMER_EN = (
    "CONFIDENTIALITY NOTICE: This e-mail and any attachments are confidential and intended solely\n"
    "for the addressee. If you have received it in error, please delete it."
)


DISCLAIMER_PT = (
    "Esta mensagem pode conter informação confidencial e/ou privilegiada. Se você não for o\n"
    "destinatário, não deve usá-la. Se a recebeu por engano, avise o remetente e apague-a."
)


def test_a_form_that_names_its_sender_is_no_quoted_header() -> None:
    text = "Contato\nNome: Ana\nDe: ana@example.com\nData: 1/9\nAssunto: Orçamento\nMensagem: 10 licenças"
    assert clean(text) == text.replace("\n", " ")


FORWARDED = "\nDe: Bia <b@example.com>\nData: 1/9\nAssunto: app\nPara: Ana\n\nO app fecha sozinho."


SHORT_NOTE = "Segue abaixo.\n\nAtt,\nAna Lima\nCoordenadora\nHospital São Lucas - Zona Norte\nRua A, 77\n"


LONG_NOTE = "Queremos contratar mais trinta linhas para a nova filial, como combinado por telefone com vocês."


@pytest.mark.parametrize(
    "marker",
    [
        "---------- Forwarded message ---------",
        "-------- Mensagem encaminhada --------",
        "Begin forwarded message:\n",
    ],
)
@pytest.mark.parametrize("note", ["", SHORT_NOTE], ids=["bare", "short"])
def test_a_forwarded_mail_under_a_short_note_is_the_message(marker: str, note: str) -> None:
    assert clean(f"App\n{note}{marker}{FORWARDED}").endswith("O app fecha sozinho.")


def test_a_mail_whose_subject_says_forwarded_keeps_what_it_forwards() -> None:
    assert clean(f"ENC: App\nVejam:\n-----Mensagem original-----{FORWARDED}").endswith("O app fecha sozinho.")


def test_a_mail_forwarded_by_gmail_under_a_short_note_is_the_message() -> None:
    attribution = '<div class="gmail_attr">---------- Forwarded message ---------<br>De: Bia<br></div>'
    html = f'<div>Vejam.</div><div class="gmail_quote">{attribution}<div>O app fecha sozinho.</div></div>'
    assert clean(f"App\n{html}").endswith("O app fecha sozinho.")


def test_a_forwarded_mail_inside_a_quote_goes_with_it() -> None:
    assert clean("Re: x\n> Hi\nMy answer.\n> -- Forwarded message --\n> Old words") == "Re: x My answer."


def test_a_forwarded_mail_under_a_long_message_is_cut() -> None:
    text = f"Linhas\n{LONG_NOTE}\n\n-------- Mensagem encaminhada --------{FORWARDED}"
    assert clean(text) == f"Linhas {LONG_NOTE}"


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nPaula Wendrick\nwe make gardens grow\n555-0118",
        "--\nPaula Wendrick\n555-0118",
        "Sent from my iPhone",
        "Sent from my Samsung Galaxy smartphone.",
        "Enviado do meu iPhone",
        "Enviado do Yahoo Mail no Android",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "Obter o Outlook para Android",
        "Att,\nJoaquim Bertolini",
        "Att, Simone Arraes",
        "Atenciosamente,\n\nEdmilson Farias\nCompras\nefarias@example.com | compras@example.com\n5555-0103",
        "Best regards,\nLeopold Nkemelu\nPurchasing",
        "With kind regards, Winifred Stolle",
        "Um abraço,\nRenata Quilici",
        "Abraços",
        "Yours faithfully,\nReginald Amsden",
        "Grata,\nCristiane Valadão",
        "Saludos cordiales,\nInés Gil",
        "Att,\nAna Lima\nEnviado do meu iPhone",
        DISCLAIMER_EN,
        DISCLAIMER_PT,
        f"Att,\nAna Lima\n\n{DISCLAIMER_PT}\n\n{DISCLAIMER_EN}",
    ],
)
def test_a_signature_is_cut(signature: str) -> None:
    assert clean(f"Boleto\nNão chegou o boleto.\n\n{signature}\n") == "Boleto Não chegou o boleto."


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("Abraços\nSistema caiu", id="closing words, then no name"),
        pytest.param("Att,\nAna\nPS: Sem sinal", id="postscript"),
        pytest.param("Att,\nAna\nContinuamos sem sinal aqui", id="a sentence below the name"),
        pytest.param("Att,\nAna\nQuando chega?", id="question"),
        pytest.param("Grato pela atenção de vocês", id="closing words in a sentence"),
        pytest.param("OBRIGADO\nATT\nSISTEMA CAIU", id="shouted"),
        pytest.param("Plano A\n--\n2 chips a mais", id="dashes between two parts"),
        pytest.param(
            "Best regards,\n" + "\n".join(f"Item {n}" for n in "ABCDEFG"),
            id="too long for a signature",
        ),
        pytest.param("Enviado do meu celular porque o computador não liga", id="a sentence about a phone"),
        pytest.param("Esta mensagem de erro é confidencial?", id="a sentence that opens as a disclaimer"),
        pytest.param(f"{DISCLAIMER_PT}\n\nQuero cancelar o plano.", id="words below a disclaimer"),
    ],
)
def test_words_that_only_resemble_a_signature_stay(words: str) -> None:
    assert clean(f"Ajuda\nOlá,\n{words}") == " ".join(f"Ajuda Olá, {words}".split())
