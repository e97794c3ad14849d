"""What others measured on VGGT-1B, and what the law of the reference frame's share says of it."""
