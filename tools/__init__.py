"""Programs for those who develop usassist. They are not part of the wheel."""
