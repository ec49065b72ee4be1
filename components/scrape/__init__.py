"""Scrape: the newest papers of an arXiv search, politely, each fetched once."""
