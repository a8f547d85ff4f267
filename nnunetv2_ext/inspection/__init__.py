"""What model files hold, found out without executing anything in them. Imports no torch."""
