"""Programs for whoever works on arxtune: not in images, not imported by the product."""
