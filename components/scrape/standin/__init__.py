"""A stand-in arXiv: search pages, abstract pages and PDFs of invented papers, or of a folder, on loopback.

It speaks the markup and the semantics of arXiv's own search and browse applications as far as the scrape stage
leans on them, so that the embedded default and the tests go the same way as a run against arXiv.
"""
