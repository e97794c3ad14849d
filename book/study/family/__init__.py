"""What each trained network of the book does: statements that every chapter can ask about all of them."""
