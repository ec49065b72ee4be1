"""The stages of arxtune and what passes between them.

    scrape   arXiv              -> papers      Paper records, one PDF each
    extract  papers             -> documents   Document records: the text, page by page
    generate documents          -> triples     Triple records: instruction, input, output, evidence
    curate   triples            -> train, test Example records, split by paper
    finetune train              -> adapter     a LoRA adapter and the curve of its loss
    evaluate train+test+adapter -> report      Answer records, one Verdict, an HTML report
    promote  adapter + report   -> release     an immutable release and a moved pointer

Every stage is a plain function in `<stage>/core.py`; `<stage>/component.py` wraps it for Kubeflow
Pipelines.
"""
