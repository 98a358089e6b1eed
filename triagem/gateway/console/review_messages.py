"""The texts of the review page in English and Brazilian Portuguese."""

from typing import Final

REVIEW_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "choose_label": ("Choose the label", "Escolha a categoria"),
    "blind": (
        "Low-confidence texts mixed with a random sample. The model's prediction is hidden to avoid bias.",
        "Textos com baixa confiança e uma amostra aleatória. A predição fica oculta para não influenciar a revisão.",
    ),
    "not_sampled": (
        "Low-confidence texts of this queue only, without a random sample: they do not measure the accuracy.",
        "Só textos desta fila com baixa confiança, sem amostra aleatória: eles não medem a acurácia.",
    ),
    "not_blind": (
        "The label that you chose shows what the model predicted.",
        "A categoria que você escolheu revela a predição do modelo.",
    ),
    "skip": ("Skip", "Pular"),
    "undo": ("Undo last review", "Desfazer a última revisão"),
    "undone": ("Review undone.", "Revisão desfeita."),
    "nothing_to_undo": ("Nothing to undo.", "Nada a desfazer."),
    "changed_before": (
        "Not saved: the customer has changed the previous text, which comes again if it still needs an answer.",
        "Não foi salvo: o cliente alterou o texto anterior, que volta a aparecer se ainda precisar de resposta.",
    ),
    "none_left": ("No more texts to review now.", "Não há mais textos para revisar agora."),
    "none_in_queue": (
        "No text to review now in the queue “{filters}”.",
        "Nenhum texto para revisar agora na fila “{filters}”.",
    ),
    "clear_queue": ("Review all texts", "Revisar todos os textos"),
    "show_skipped": ("Show the skipped ones again", "Mostrar de novo os que você pulou"),
    "reviewed_today": ("Texts that you reviewed today: {count}", "Textos que você revisou hoje: {count}"),
    "queue_waiting": ("in your queue: {count}", "na sua fila: {count}"),
    "queue": ("Queue", "Fila de revisão"),
    "guidelines": ("Guidelines", "Diretrizes"),
    "guidelines_unreadable": (
        "The guidelines cannot be shown ({reason}). An administrator can correct TRIAGEM_GUIDELINES_FILE.",
        "Não foi possível mostrar as diretrizes ({reason}). Um administrador pode corrigir TRIAGEM_GUIDELINES_FILE.",
    ),
    "comment_column": ("Comment", "Comentário"),
    "comment": ("Comment (optional)", "Comentário (opcional)"),
    "propose_label": ("No label fits? Propose a new one", "Nenhuma categoria serve? Proponha uma nova"),
    "proposed_label": ("New label", "Nova categoria"),
    "propose": ("Propose", "Propor"),
    "proposed": (
        "Proposal saved. An administrator decides whether to add the label.",
        "Proposta salva. Um administrador decide se a categoria será criada.",
    ),
    "proposes": ("proposes: {label}", "propõe: {label}"),
    "help": ("Keys and labels", "Teclas e categorias"),
    "key_space": ("space", "espaço"),
}
