"""What the settings mean, and what each may be, by the headings that they stand under."""
