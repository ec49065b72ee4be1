"""Extract: papers -> documents. pypdf reads each PDF in a child process; the text is repaired, scored and kept by page."""
