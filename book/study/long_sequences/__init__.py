"""Long sequences: dilution of global attention and its cure. What the run computes, draws and claims."""
