"""How dates are written, on pages and in the admin, by the names that Django looks for."""
