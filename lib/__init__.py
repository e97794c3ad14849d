"""VGGT with and without token merging, its attention spectra and the dynamics behind them."""
