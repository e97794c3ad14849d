"""Training of the mini VGGT on rendered rooms: configuration, data, losses, loop, evaluation."""
