"""Generate: documents -> triples. A teacher reads each page; every answer is kept, so that none is
paid for twice."""
