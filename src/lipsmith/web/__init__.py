"""The web page: static HTML, CSS and JavaScript without external resources."""
