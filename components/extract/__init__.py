"""Extract: papers -> documents. pypdf reads each PDF in a child; the text is repaired, scored, kept by page."""
