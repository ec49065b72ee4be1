"""A stand-in arXiv on loopback: search pages, Atom API, OAI-PMH, abstract pages and PDFs, with
faults on demand.

It speaks the markup and the semantics of arXiv's own search and browse applications as far as
the scrape stage leans on them, so that the embedded default and the tests go the same way as a
run against arXiv."""
