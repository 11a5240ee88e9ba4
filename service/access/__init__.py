"""Who may do what: keys and their scopes, limits of their rates, request ids, and the headers that every answer has."""
