"""The texts of the pre-flight page, in the format of `messages`."""

from typing import Final

PREFLIGHT_MESSAGES: Final = {
    "preflight": ("Pre-flight", "Simulação"),
    "preflight_link": (
        "Estimate from an export of closed tickets what could be automated",
        "Estimar, com uma exportação de tickets fechados, o que daria para automatizar",
    ),
    "preflight_intro": (
        "Upload an export of closed tickets. Each text is predicted by a model that has not seen it.",
        "Envie uma exportação de tickets fechados. Cada texto é classificado por um modelo que não o viu.",
    ),
    "preflight_kept": (
        "The file is deleted as soon as the estimate is ready, and the estimate after an hour.",
        "O arquivo é apagado assim que a estimativa fica pronta, e a estimativa depois de uma hora.",
    ),
    "export_file": ("CSV, JSON lines or Parquet", "CSV, JSON lines ou Parquet"),
    "label_column": ("Column of the label, for example group", "Coluna da categoria, por exemplo grupo"),
    "label_map": (
        "Label of each value, for example Comercial=venda,N1=suporte",
        "Categoria de cada valor, por exemplo Comercial=venda,N1=suporte",
    ),
    "by_column": (
        "Column that splits the accuracy, for example channel",
        "Coluna que detalha a acurácia, por exemplo canal",
    ),
    "estimate": ("Estimate", "Estimar"),
    "optional_hint": (
        "All three are optional. Without a label column, the current model's confidences are used.",
        "Os três campos são opcionais. Sem coluna de categoria, usa-se a confiança do modelo atual.",
    ),
    "preflight_active": (
        "An estimate is still being computed: wait for it, or delete it.",
        "Uma estimativa ainda está em andamento: aguarde ou apague-a.",
    ),
    "preflight_deleted": ("The file and the estimate were deleted.", "O arquivo e a estimativa foram apagados."),
    "preflight_waits": (
        "The file waits for “triagem trainer”, which runs one job at a time.",
        "O arquivo aguarda o “triagem trainer”, que executa um trabalho por vez.",
    ),
    "preflight_expired": ("The estimate was deleted.", "A estimativa foi apagada."),
    "delete": ("Delete file and estimate", "Apagar arquivo e estimativa"),
    "part": ("Part", "Parte"),
    "part_all": ("all", "todos"),
    "part_label": ("label", "categoria"),
    "part_group": ("source or channel", "origem ou canal"),
    "texts": ("Texts", "Textos"),
    "interval": ("95% interval", "Intervalo de 95%"),
    "automation": ("What could be automated", "O que daria para automatizar"),
    "precision": ("Precision", "Precisão"),
    "automated_share": ("Automated", "Parcela automatizada"),
    "not_reached": (
        "not reached: {right} of the {texts} most confident texts are right",
        "não alcançada: {right} dos {texts} textos de maior confiança estão certos",
    ),
    "texts_missing": (
        "not proved: {right} of the {texts} most confident texts are right; about {count} more like these prove it",
        "não comprovada: {right} dos {texts} textos de maior confiança estão certos; faltam cerca de {count} assim",
    ),
    "costly": ("Costliest mistakes", "Erros mais caros"),
    "costly_hint": (
        "Confident predictions that differ from the label in the file.",
        "Predições com confiança alta e diferentes da categoria do arquivo.",
    ),
    "costly_automated": ("Once automated, nobody would review them.", "Com a automação, ninguém as revisaria."),
    "excerpt": ("Text", "Texto"),
    "given_label": ("In the file", "No arquivo"),
    "predicted_label": ("Predicted", "Predita"),
    "more_labels": (
        "200 more labels would bring about {accuracy} accuracy.",
        "Com mais 200 tickets com categoria, a acurácia seria de cerca de {accuracy}.",
    ),
    "expected_export": (
        "Texts without labels: {count}. Expected accuracy: {accuracy}. The current one would automate {automated}.",
        "Textos sem categoria: {count}. Acurácia esperada: {accuracy}; a versão atual automatizaria {automated}.",
    ),
    "unlike": (
        "{share} are unlike the texts of its training; 1% would be usual.",
        "{share} são diferentes dos textos de treino; o normal seria 1%.",
    ),
}
