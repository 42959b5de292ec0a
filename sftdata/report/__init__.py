"""What a person sees: progress, tables and coloured rows in the terminal."""
