"""Small things that every layer may use. Nothing here knows ultrasound or imports the rest of usassist."""
