"""What a forward pass costs: operations counted, seconds and memory measured part by part."""
