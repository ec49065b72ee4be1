"""Generate: documents -> triples. A teacher reads each page once; every answer is kept, so that none is paid for twice."""
