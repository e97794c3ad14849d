"""How this book is built: its rooms and arrows, its sizes, the way of one number; read from the sources."""
