"""What a sweep would cost, before anybody pays: operations, bytes, seconds, hours of a card, storage."""
