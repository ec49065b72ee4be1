"""Extract: papers -> documents, page by page; each PDF is opened in a child process."""
