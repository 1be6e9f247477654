"""Are there known holes in what the lock file names? `scripts/audit` and `scripts/advisories` run this."""
