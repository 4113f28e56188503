"""What people see: commands, the terminal, reports, tables and plots."""
