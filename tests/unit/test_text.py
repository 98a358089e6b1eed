"""Text cleaning: which parts of a customer's message are removed, and which parts must stay."""

from hashlib import sha256

import pytest

from triagem.contracts.text import clean, digest, plain

GMAIL_REPLY = (
    '<div dir="ltr">Continua sem sinal.<div><br></div><div>Podem mandar um técnico?</div></div><br>'
    '<div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">'
    "Em ter., 1 de set. de 2026 às 17:26, Suporte "
    '&lt;<a href="mailto:s@example.com">s@example.com</a>&gt; escreveu:<br></div>'
    '<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204)">'
    "<div>Reinicie o roteador.</div><blockquote>Mais antigo</blockquote>Obrigado</blockquote></div>"
)


GMAIL_INTERLEAVED = (
    '<div class="gmail_quote"><div class="gmail_attr">Le mar. 1 sept. 2026 à 17:26, Support a écrit :</div>'
    '<blockquote class="gmail_quote">Which plan?</blockquote><div>The yearly one.</div>'
    '<blockquote class="gmail_quote">How many seats?</blockquote><div>Twelve.</div></div>'
)


OUTLOOK_DESKTOP = (
    '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><meta charset="utf-8"><style><!--\n'
    "/* Font Definitions */ p.MsoNormal {margin:0cm}\n--></style><title>x</title></head>"
    "<body lang=PT-BR><div class=WordSection1><p class=MsoNormal>Bom dia,<o:p></o:p></p>\r\n"
    "<p class=MsoNormal>O boleto de\r\nagosto n&atilde;o chegou.<o:p>&nbsp;</o:p></p>\r\n"
    "<!--[if gte mso 9]><xml>junk</xml><![endif]--><p class=MsoNormal>Atenciosamente,<o:p></o:p></p>"
    "<p class=MsoNormal><b>Maria Souza</b><br>Gerente de compras<br>(11) 5555-0101</p>"
    "<div style='border:none;border-top:solid #E1E1E1 1.0pt'><p class=MsoNormal><b>De:</b> Suporte "
    "&lt;s@example.com&gt;<br><b>Enviada em:</b> segunda-feira, 31 de agosto de 2026 10:12<br>"
    "<b>Para:</b> Maria<br><b>Assunto:</b> Fatura</p></div><p>Segue a fatura.</p></div></body></html>"
)


OUTLOOK_WEB = (
    '<html><body><div>Please cancel my plan.</div><div id="appendonsend"></div><hr>'
    '<div id="divRplyFwdMsg" dir="ltr"><b>Von:</b> Sales<br><b>Gesendet:</b> Montag</div>'
    "<div>We have an offer for you.</div></body></html>"
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("oi, minha internet caiu de novo", id="whatsapp"),
        pytest.param("Quero 2 chips > 10 GB, preço > 100 reais?", id="greater"),
        pytest.param("a < b > c and a <b> c", id="mathematics"),
        pytest.param("if (a<b && c>d) return Map<String, List<a>>;", id="code"),
        pytest.param("Ana <ana@example.com> não recebe nada", id="address"),
        pytest.param("On 3 March 2025 at 10:12 support wrote: reset it", id="wrote"),
        pytest.param("👩‍💻 не работает 支払い".replace("\u200d", ""), id="other scripts"),
    ],
)
def test_a_message_of_one_line_keeps_its_words(message: str) -> None:
    assert clean(message) == message


@pytest.mark.parametrize(
    ("body", "own"),
    [
        pytest.param(
            "Ainda sem sinal.\n\nEm ter., 1 de set. de 2026 às 17:26, Suporte <s@example.com> escreveu:\n\n"
            "> Reinicie.\n>> Mais antigo\n> Obrigado",
            "Ainda sem sinal.",
            id="pt, nested",
        ),
        pytest.param(
            "Still down.\nOn Wed, 2 Sep 2026 at 15:14, Customer Support\n<support@example.com>\nwrote:\n> Hi",
            "Still down.",
            id="en, wrapped",
        ),
        pytest.param(
            "Sigue igual.\nEl lun, 7 sept 2026 a las 9:05, Soporte (<s@example.com>) escribió:\n> Hola",
            "Sigue igual.",
            id="es",
        ),
        pytest.param(
            "Nada.\nSuporte <s@example.pt> escreveu no dia terça, 1/09/2026 à(s) 17:26:\nReinicie.",
            "Nada.",
            id="pt-PT",
        ),
        pytest.param(
            "Still down.\nOn Wed, Sep 2, 2026 at 3:14 PM Support <s@example.com> wrote:\nHi,\nany news?",
            "Still down.",
            id="a quote without marks",
        ),
        pytest.param(
            "Still down.\n\n-----Original Message-----\nHave you tried?",
            "Still down.",
            id="en, original message",
        ),
        pytest.param(
            "Nada ainda.\n-----Mensagem original-----\nReinicie.",
            "Nada ainda.",
            id="pt, original message",
        ),
        pytest.param(
            "No.\n________________________________\nFrom: Sales <s@example.com>\nSent: 7 September 2026\n"
            "To: Ana\nSubject: Offer\n\nBuy now",
            "No.",
            id="en, Outlook's header",
        ),
        pytest.param(
            "Não.\n*De:* Vendas\n*Enviado:* 7 de setembro\n*Para:* Ana\n*Assunto:* Oferta\n\nCompre já",
            "Não.",
            id="pt, Outlook's header",
        ),
    ],
)
def test_the_mail_that_is_answered_is_cut(body: str, own: str) -> None:
    assert clean(f"Re: Chamado 88213\n{body}") == f"Re: Chamado 88213 {own}"


def test_an_answer_below_the_quote_is_kept() -> None:
    text = "Re: Upgrade\nOn Wed, 2 Sep 2026 at 15:14, A wrote:\n\n> A or B?\n> Regards\n\nB, for 36 months."
    assert clean(text) == "Re: Upgrade B, for 36 months."


def test_answers_between_quoted_lines_are_kept() -> None:
    text = "Re: x\nOi,\nEm 02/09/2026 15:14, A escreveu:\n> Qual plano?\nO anual.\n> Quantos usuários?\nDoze."
    assert clean(text) == "Re: x Oi, O anual. Doze."


def test_a_list_of_the_customers_own_is_no_quote() -> None:
    text = "Orçamento\nPreciso de:\n> roteador mesh\n> chip de dados\nQuanto fica?"
    assert clean(text) == "Orçamento Preciso de: > roteador mesh > chip de dados Quanto fica?"


def test_a_sentence_about_what_somebody_wrote_cuts_nothing() -> None:
    text = "Refund\nHello,\nOn 12/05 your agent wrote:\nwe will refund you\nBut nothing came."
    assert clean(text) == text.replace("\n", " ")


def test_a_sentence_above_an_attribution_is_not_drawn_into_it() -> None:
    text = "Refund\nHello,\nOn 2 Sep 2026 at 15:14 I called.\nNothing came.\nYour agent wrote:\n\n> We will."
    assert clean(text) == "Refund Hello, On 2 Sep 2026 at 15:14 I called. Nothing came. Your agent wrote:"


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        pytest.param(GMAIL_REPLY, "Continua sem sinal. Podem mandar um técnico?", id="Gmail, reply"),
        pytest.param(GMAIL_INTERLEAVED, "The yearly one. Twelve.", id="Gmail, answers between quotes"),
        pytest.param(
            '<div>New.</div><div class="gmail_quote">Old.</div>',
            "New.",
            id="Gmail, quote without blockquote",
        ),
        pytest.param(OUTLOOK_DESKTOP, "Bom dia, O boleto de agosto não chegou.", id="Outlook, desktop"),
        pytest.param(OUTLOOK_WEB, "Please cancel my plan.", id="Outlook, web"),
        pytest.param(
            "<script>if (a<b) x();</script>Oi<br>tudo<p>bem</p><ul><li>um<li>dois</ul>",
            "Oi tudo bem um dois",
            id="blocks",
        ),
        pytest.param("<table><tr><td>Plano</td><td>99</td></tr></table>", "Plano 99", id="table"),
        pytest.param(
            "in<b>te</b>iro &amp; R$&nbsp;5 &#8364; &lt;3",
            "inteiro & R$ 5 € <3",
            id="inline and entities",
        ),
        pytest.param(
            '<a title="a > b" href="http://x">link</a>',
            "link",
            id="an angle bracket in an attribute",
        ),
        pytest.param(
            "<p>Ana <ana@example.com> e x < y</p>",
            "Ana <ana@example.com> e x < y",
            id="brackets that are not tags",
        ),
        pytest.param("<p>o preço é\n&gt; 100?</p>", "o preço é > 100?", id="a line break that shows nowhere"),
        pytest.param("<p>write &lt;p&gt;</p>", "write < p>", id="a tag that the text quotes"),
        pytest.param(
            '<blockquote style="margin:0 0 0 40px;border:none">indented</blockquote>more<br>',
            "indented more",
            id="indent",
        ),
        pytest.param(
            "<div>unclosed <style>p{} words <p>stay",
            "unclosed p{} words stay",
            id="a style that never ends",
        ),
        pytest.param(f"<p>x&#{'9' * 5000};</p>", f"x&#{'9' * 5000};", id="a number too long to read"),
    ],
)
def test_html_becomes_the_words_that_it_shows(html: str, plain: str) -> None:
    assert clean(f"Re: Chamado\n{html}") == f"Re: Chamado {plain}"


def test_html_without_a_subject_is_cleaned_alike() -> None:
    assert clean(OUTLOOK_DESKTOP) == "Bom dia, O boleto de agosto não chegou."


def test_line_breaks_around_inline_html_are_the_writers() -> None:
    assert clean('Boleto\nVeja <a href="http://x">aqui</a>.\nEnviado do meu iPhone') == "Boleto Veja aqui."


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Re: Pedido\n> Minha Proposta", id="quote"),
        pytest.param("Re: Pedido\n> Minha Proposta\n\nEnviado do meu iPhone", id="quote and signature"),
        pytest.param("Re: Pedido\n<blockquote>Minha Proposta</blockquote>", id="HTML quote"),
        pytest.param("\n-----Original Message-----\nMinha Proposta", id="unmarked quote"),
        pytest.param(
            "\nEm ter., 1 de set. de 2026 às 17:26, Suporte escreveu:\nMinha Proposta",
            id="attribution",
        ),
        pytest.param("\nAtt,\nMinha Proposta", id="signature"),
    ],
)
def test_a_message_of_nothing_but_a_quote_or_signature_keeps_it(text: str) -> None:
    assert "Proposta" in clean(text)


def test_html_that_shows_nothing_keeps_its_source() -> None:
    assert clean("<img src=x>") == "< img src=x>"


def test_the_subject_survives_whatever_it_looks_like() -> None:
    assert clean("Sent from my iPhone\nIt rings twice.") == "Sent from my iPhone It rings twice."


def test_invisible_characters_go_and_white_space_folds() -> None:
    assert clean(" a\x00b\u200b\ufeffc\ud800\r\n\td\u00a0\u2003e\x85 ") == "abc d e"


def test_letters_and_accents_are_composed() -> None:
    assert clean("na\u0303o e\u200b\u0301") == "n\u00e3o \u00e9"


def test_nothing_visible_becomes_nothing() -> None:
    assert clean(" \n\u200b\x00\t") == ""


def test_the_digest_is_the_sha256_of_the_utf8() -> None:
    assert digest("não") == sha256(b"n\xc3\xa3o").digest()


def test_a_person_reads_html_as_lines_and_everything_that_was_written() -> None:
    assert plain("Oi\n<p>Olá &amp; bom dia</p><p>Ana</p><script>x()</script>") == "Oi\n\nOlá & bom dia\n\nAna"
    assert plain("<div><p>Oi</p><br><br><br><p>Ana</p></div>") == "Oi\n\nAna"
    assert plain("a < b\n\n> cited\n-- \nAna") == "a < b\n\n> cited\n-- \nAna"
