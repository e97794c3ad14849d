"""What the notebooks in ``book/runs`` compute: one module per experiment, on top of `lib.run`."""
