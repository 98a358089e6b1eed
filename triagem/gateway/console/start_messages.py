"""The texts of the start page, in the format of `messages`."""

from typing import Final

START_MESSAGES: Final = {
    "start": ("Start", "Começar"),
    "start_intro": (
        "Name the labels and label messages. In about twenty minutes, your answers produce a first model.",
        "Nomeie as categorias e classifique mensagens. Em cerca de vinte minutos, suas respostas geram um modelo.",
    ),
    "labels_and_messages": ("Labels and messages", "Categorias e mensagens"),
    "name_labels": ("Name the labels", "Nomeie as categorias"),
    "name_labels_hint": (
        "At least two. A sentence about each helps the first questions.",
        "Pelo menos duas. Uma frase sobre cada uma ajuda nas primeiras perguntas.",
    ),
    "description": ("Description (optional)", "Descrição (opcional)"),
    "add_label": ("Add label", "Adicionar categoria"),
    "proposed_labels": ("Proposed labels", "Categorias propostas"),
    "proposed_by": ("texts: {texts}, reviewers: {reviewers}", "textos: {texts}, revisores: {reviewers}"),
    "reject_label": ("Reject", "Rejeitar"),
    "label_added": ("Label saved.", "Categoria salva."),
    "label_exists": ("Saved as the existing label {label}.", "Salvo na categoria existente {label}."),
    "label_described": (
        "Label {label} existed already: its description was replaced.",
        "A categoria {label} já existia: a descrição dela foi substituída.",
    ),
    "label_rejected": ("Proposal rejected.", "Proposta rejeitada."),
    "add_messages": ("Add messages", "Adicione mensagens"),
    "messages_stored": ("Messages to label from: {count}", "Mensagens disponíveis para classificar: {count}"),
    "file": ("CSV file with an id and a text column", "Arquivo CSV com uma coluna de ID e uma de texto"),
    "file_hint": (
        "Encoding, separator and columns are detected. Labels in the file are not needed.",
        "Codificação, separador e colunas são detectados. O arquivo não precisa ter categorias.",
    ),
    "upload": ("Upload", "Enviar"),
    "uploaded": (
        "Messages accepted: {accepted}. Rows rejected: {rejected}.",
        "Mensagens aceitas: {accepted}. Linhas rejeitadas: {rejected}.",
    ),
    "messages_soon": (
        "The messages are being stored, which takes seconds.",
        "As mensagens estão sendo guardadas, o que leva alguns segundos.",
    ),
    "show_messages": ("Label the messages", "Classificar as mensagens"),
    "rejected_lines": ("Number: {count}; lines: {lines}.", "Quantidade: {count}; linhas: {lines}."),
    "connect_crm": (
        "Or connect a CRM: docs/how-to/crm.md.",
        "Ou conecte um CRM: docs/how-to/crm.md.",
    ),
    "kept_without_model": (
        "Its messages are stored until there is a model.",
        "As mensagens ficam guardadas até haver um modelo.",
    ),
    "admin_adds": (
        "Only an administrator names labels, uploads messages and connects a CRM.",
        "Só um administrador cria categorias, envia mensagens e conecta um CRM.",
    ),
    "same_ids": (
        "A row whose id was uploaded before is a new version of that message. An equal text changes nothing.",
        "Uma linha com um ID já enviado é uma nova versão da mesma mensagem. Um texto igual não muda nada.",
    ),
    "answered_before": ("Your earlier answer:", "Sua resposta anterior:"),
    "none_again": ("No more answers to look at again.", "Não há mais respostas para rever."),
    "answers_given": ("Answers: {count}", "Respostas: {count}"),
    "first_version": (
        "Answers missing until the first version: {count} (ten for each of two labels).",
        "Respostas que faltam para a primeira versão: {count} (dez para cada uma de duas categorias).",
    ),
    "next_version": (
        "Answers missing until the next version: {count}.",
        "Respostas que faltam para a próxima versão: {count}.",
    ),
    "version_failed": (
        "The last version could not be trained: {reason}",
        "A última versão não pôde ser treinada: {reason}",
    ),
    "version_rejected": (
        "{version} was trained, but did not pass the gate and is not in use",
        "{version} foi treinada, mas não atendeu aos critérios e não está em uso",
    ),
    "after_rejection": (
        "Continue to answer: each new version is tested on more answers.",
        "Continue respondendo: cada nova versão é testada com mais respostas.",
    ),
    "running_head": ("A version is being trained.", "Uma versão está sendo treinada."),
    "running_embed": ("The next questions are being chosen.", "As próximas perguntas estão sendo escolhidas."),
    "running_full": ("A full training is running.", "Um treinamento completo está em execução."),
    "running_preflight": ("An export is being rated.", "Uma exportação está sendo avaliada."),
    "queued_head": ("A version is queued for training.", "Uma versão está na fila de treinamento."),
    "queued_embed": (
        "The choice of the next questions is queued.",
        "A escolha das próximas perguntas está na fila.",
    ),
    "queued_full": ("A full training is queued.", "Um treinamento completo está na fila."),
    "queued_preflight": ("The rating of an export is queued.", "A avaliação de uma exportação está na fila."),
    "estimated": (
        "estimated quality (macro-F1) of a version from {answers} answers; 90% interval: {low} to {high}",
        "de qualidade estimada (macro-F1) de uma versão com {answers} respostas; intervalo de 90%: de {low} a {high}",
    ),
    "macro_f1_hint": (
        "At 100%, each message would get its right label. Each label counts the same.",
        "Com 100%, cada mensagem receberia a categoria certa. Todas as categorias têm o mesmo peso.",
    ),
    "no_estimate": (
        "An estimate of the quality needs 20 answers, of two or more labels with five each.",
        "Para estimar a qualidade, são necessárias 20 respostas, de duas ou mais categorias com cinco cada uma.",
    ),
    "estimate_soon": (
        "The quality is estimated with the next version or choice of questions.",
        "A qualidade será estimada com a próxima versão ou a próxima escolha de perguntas.",
    ),
    "left_out": (
        "Not in the estimate, with fewer than five answers:",
        "Fora da estimativa, com menos de cinco respostas:",
    ),
    "answers_missing": (
        "About {count} more answers reach 90%.",
        "Faltam cerca de {count} respostas para chegar a 90%.",
    ),
    "target_reached": ("The estimate has reached 90%.", "A estimativa chegou a 90%."),
    "in_use": ("{version} is in use.", "{version} está em uso."),
    "all_reviewed": (
        "A person reviews all its results until the answers prove that few of its labels are wrong.",
        "Uma pessoa revisa todos os resultados até que as respostas comprovem que ela erra pouco.",
    ),
    "proof_missing": (
        "About {count} more answers may prove that few of its labels are wrong; only the random ones count.",
        "Cerca de {count} respostas a mais podem comprovar que ela erra pouco; só as sorteadas contam.",
    ),
    "look_again": (
        "Look again at answers that differ from those to similar messages ({count})",
        "Rever respostas que diferem das dadas a mensagens parecidas ({count})",
    ),
    "back_to_questions": ("Back to the questions", "Voltar às perguntas"),
    "action_label.set": ("saved a label", "salvou uma categoria"),
    "action_label.reject": ("rejected a label", "rejeitou uma categoria"),
}
