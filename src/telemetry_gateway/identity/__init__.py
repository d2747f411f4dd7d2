"""Who sends: tokens, certificates of authorities, licenses, identifiers."""
