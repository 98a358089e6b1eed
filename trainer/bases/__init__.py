"""Base models: those that pip installs, verified and converted; hub ids and folders by their own name."""
