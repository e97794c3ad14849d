"""Terms of the field in one or two plain sentences each; hover text of their first use on a page."""
